"""Requests: the way of queries and commands through a worker, from their arrival to their acknowledgement.

The order for every message: commit, reply, acknowledge. Whatever dies in between, the message is delivered again and
answered from the inbox.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog

from bus import failpoints
from bus.contract.operations import Operation
from bus.contract.problems import Unavailable
from bus.database.engine import Database, DatabaseUnavailable
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import attempts_of
from bus.messaging.replies import ACCEPTED, EncodedReply
from bus.messaging.topology import SUSPECT_DELIVERIES
from bus.messaging.transport import Transport
from bus.service.handler import Handler
from bus.worker.admission import Admission
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import INTERNAL_ERROR, Executor, HandlerFailed, OnEvents, answer_queries
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import PROBE_SECONDS, ConsumerThreads, log_available, log_unavailable

log = structlog.get_logger("bus.worker")

_DATABASE_AWAY = Unavailable("database-away", "The service's database cannot be reached.").problem

Calls = Sequence[tuple[Delivery, Call]]


class RequestConsumer:
    """Handles batches of requests of one service. `as_batch`: the commands of a batch share a transaction."""

    def __init__(
        self,
        service: str,
        handlers: Mapping[str, Handler],
        database: Database,
        transport: Transport,
        admission: Admission,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
        *,
        as_batch: bool,
        on_events: OnEvents,
    ) -> None:
        self._service, self._handlers, self._database, self._transport = service, handlers, database, transport
        self._admission, self._dispatcher, self._telemetry = admission, dispatcher, telemetry
        self._executor = Executor(handlers, database, as_batch=as_batch, on_events=on_events)
        self._operations: dict[str, type[Operation[Any]]] = {
            name: handler.operation for name, handler in handlers.items() if issubclass(handler.operation, Operation)
        }

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        """Carry out, reply and acknowledge. Raises Stopped; what was finished by then is acknowledged all the same."""
        self._telemetry.record_batch(len(batch))
        done: list[Delivery] = []
        try:
            queries, commands = self._admit_all(batch, threads, done)
            if queries:
                self._answer(queries, done)
            if commands:
                self._execute(commands, threads, done)
        finally:
            self._transport.acknowledge(done)

    def _admit_all(
        self, batch: Sequence[Delivery], threads: ConsumerThreads, done: list[Delivery]
    ) -> tuple[list[tuple[Delivery, Call]], list[tuple[Delivery, Call]]]:
        """Queries and commands; those that a worker may have died of go to the quarantine first."""
        if suspects := [delivery for delivery in batch if delivery.deaths and self._is_suspect(delivery)]:
            self._dispatcher.quarantine(suspects)
        queries: list[tuple[Delivery, Call]] = []
        commands: list[tuple[Delivery, Call]] = []
        for delivery in batch:
            if suspects and delivery in suspects:
                continue
            call = self._admit(delivery, threads)
            if call is None:
                done.append(delivery)
            else:
                (commands if self._operations[delivery.message.queue].is_command else queries).append((delivery, call))
        return queries, commands

    def _is_suspect(self, delivery: Delivery) -> bool:
        """Whether a worker may have died of this message. Classic queues, those of queries, count one death at most."""
        return delivery.deaths >= (SUSPECT_DELIVERIES if self._operations[delivery.message.queue].is_command else 1)

    def _admit(self, delivery: Delivery, threads: ConsumerThreads) -> Call | None:
        while True:
            try:
                return self._admission.admit(delivery)
            except DatabaseUnavailable as error:  # it holds the keys to sealed secrets
                if not self._operations[delivery.message.queue].is_command:
                    self._turn_away(delivery)
                    return None
                self._wait_for_database([delivery], threads, error)

    def _answer(self, queries: Calls, done: list[Delivery]) -> None:
        try:
            replies = answer_queries([call for _, call in queries], self._handlers, self._database)
        except DatabaseUnavailable:
            replies = [EncodedReply.problem(_DATABASE_AWAY, delivery.trace) for delivery, _ in queries]
        self._reply(queries, replies, done)

    def _execute(self, commands: Calls, threads: ConsumerThreads, done: list[Delivery]) -> None:
        calls = [call for _, call in commands]
        while True:
            try:
                replies = self._executor.execute(calls)
            except DatabaseUnavailable as error:
                self._wait_for_database([delivery for delivery, _ in commands], threads, error)
            else:
                break
        if failpoints.armed:
            failpoints.reach("worker.after-commit")
        self._reply(commands, replies, done)

    def _reply(self, calls: Calls, replies: Iterable[EncodedReply | HandlerFailed], done: list[Delivery]) -> None:
        for (delivery, call), reply in zip(calls, replies, strict=True):
            if isinstance(reply, HandlerFailed):
                self._retry_or_give_up(delivery, call, reply)
            else:
                operation = self._operations[delivery.message.queue]
                if reply.status >= 400 and operation.is_command and not delivery.message.reply_to:
                    self._dispatcher.dead_letter_request(delivery, operation, "refused", reply.body.decode())
                self._dispatcher.reply(delivery, reply)
                self._telemetry.record("answered", delivery, call, status=reply.status)
            done.append(delivery)

    def _retry_or_give_up(self, delivery: Delivery, call: Call, failed: HandlerFailed) -> None:
        """Retry later; after the last try the command is a dead letter, and its caller gets a 500."""
        operation = self._operations[delivery.message.queue]
        log.error(
            "handler_failed",
            operation=delivery.message.queue,
            attempt=attempts_of(delivery.message) + 1,
            trace_id=delivery.trace.trace_id,
            exception=failed.traceback,
        )
        if operation.is_command:
            if self._dispatcher.schedule_retry(delivery, call):
                return
            self._dispatcher.dead_letter_request(delivery, operation, "fault", failed.message, failed)
        self._dispatcher.reply(delivery, EncodedReply.problem(INTERNAL_ERROR, delivery.trace))
        self._telemetry.record("dead_lettered", delivery, call, status=INTERNAL_ERROR.status)

    def _wait_for_database(
        self, commands: Sequence[Delivery], threads: ConsumerThreads, error: DatabaseUnavailable
    ) -> None:
        """Keep the commands that arrive and refuse queries, until the database is back. Raises Stopped."""
        log_unavailable(self._service, len(commands), error)
        for delivery in commands:
            self._promise(delivery)
        kept: list[Delivery] = []
        while not self._database.answers():
            arrived = threads.next(PROBE_SECONDS)
            if arrived is not None and self._keep(arrived):
                kept.append(arrived)
        log_available(self._service)
        for delivery in kept:
            threads.put(delivery)

    def _keep(self, delivery: Delivery) -> bool:
        """While the database is away: whether this is a command to keep. A query is refused."""
        try:
            is_refused = self._admission.admit(delivery) is None
        except DatabaseUnavailable:
            is_refused = False  # its seal is opened when the keys can be read
        if self._operations[delivery.message.queue].is_command and not is_refused:
            self._promise(delivery)
            return True
        if not is_refused:
            self._turn_away(delivery)
        self._transport.acknowledge([delivery])
        return False

    def _turn_away(self, delivery: Delivery) -> None:
        """Refuse a query, as the database is away."""
        self._dispatcher.reply(delivery, EncodedReply.problem(_DATABASE_AWAY, delivery.trace))
        self._telemetry.record("answered", delivery, status=_DATABASE_AWAY.status, code=_DATABASE_AWAY.code)

    def _promise(self, delivery: Delivery) -> None:
        """Answer that the command is kept, rather than let its caller wait for the database too."""
        if delivery.message.message_id is not None:
            self._dispatcher.reply(delivery, EncodedReply.accepted(delivery.message.message_id))
            self._telemetry.record("deferred", delivery, is_last=False, status=ACCEPTED)
