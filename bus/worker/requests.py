"""Requests: what a worker does with questions and commands, from their arrival to their acknowledgement."""

from collections.abc import Iterable, Sequence

import structlog

from bus import failpoints
from bus.contract.problems import Unavailable
from bus.database.engine import Database, DatabaseUnavailable
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import attempts_of
from bus.messaging.replies import ACCEPTED, EncodedReply
from bus.messaging.topology import SUSPECT_DELIVERIES
from bus.security.unsealer import Unsealer
from bus.service.service import Service
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import INTERNAL_ERROR, Emitted, HandlerFailed, answer_queries, execute
from bus.worker.reception import Admission
from bus.worker.threads import PROBE_SECONDS, ConsumerThreads, log_available, log_unavailable

log = structlog.get_logger("bus.worker")

_DATABASE_AWAY = Unavailable("database-away", "The service's database cannot be reached.").problem

Calls = Sequence[tuple[Delivery, Call]]


class RequestConsumer:
    """Works off requests. The order for every message: commit, reply, acknowledge.

    Whatever dies in between, the message is delivered again and answered from the inbox.
    """

    def __init__(
        self, service: Service, database: Database, dispatcher: Dispatcher, emitted: Emitted, unsealer: Unsealer
    ) -> None:
        self._service, self._database, self._dispatcher, self._emitted = service, database, dispatcher, emitted
        self._reception = Admission(service, dispatcher, unsealer)

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        """Carry out, reply and acknowledge. Raises Stopped; what was finished by then is acknowledged all the same."""
        self._dispatcher.record_batch(len(batch))
        done: list[Delivery] = []
        try:
            self._handle_batch(batch, threads, done)
        finally:
            self._dispatcher.acknowledge(done)

    def _handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads, done: list[Delivery]) -> None:
        suspects = [delivery for delivery in batch if self._is_suspect(delivery)]
        self._dispatcher.quarantine(suspects)
        queries: list[tuple[Delivery, Call]] = []
        commands: list[tuple[Delivery, Call]] = []
        for delivery in batch if not suspects else [each for each in batch if each not in suspects]:
            call = self._admit(delivery, threads)
            if call is None:
                done.append(delivery)
            else:
                (commands if self._is_command(delivery) else queries).append((delivery, call))
        self._answer(queries, done)
        self._execute(commands, threads, done)

    def _is_suspect(self, delivery: Delivery) -> bool:
        """Whether a worker may have died of this message. Of a question no more than one death is known."""
        return delivery.deaths >= (SUSPECT_DELIVERIES if self._is_command(delivery) else 1)

    def _is_command(self, delivery: Delivery) -> bool:
        return self._service.operations[delivery.message.queue].is_command

    def _admit(self, delivery: Delivery, threads: ConsumerThreads) -> Call | None:
        while True:
            try:
                return self._reception.admit(delivery)
            except DatabaseUnavailable as away:  # it holds the keys to sealed secrets
                if not self._is_command(delivery):
                    self._turn_away(delivery)
                    return None
                self._wait_for_database([delivery], threads, away)

    def _answer(self, queries: Calls, done: list[Delivery]) -> None:
        if not queries:
            return
        try:
            answers = answer_queries([call for _, call in queries], self._service, self._database)
        except DatabaseUnavailable:
            answers = [EncodedReply.problem(_DATABASE_AWAY) for _ in queries]
        self._reply(queries, answers, done)

    def _execute(self, commands: Calls, threads: ConsumerThreads, done: list[Delivery]) -> None:
        while commands:
            try:
                calls = [call for _, call in commands]
                answers = execute(calls, self._service, self._database, self._emitted)
            except DatabaseUnavailable as away:
                self._wait_for_database([delivery for delivery, _ in commands], threads, away)
            else:
                failpoints.reach("worker.after-commit")
                self._reply(commands, answers, done)
                return

    def _wait_for_database(
        self, commands: Sequence[Delivery], threads: ConsumerThreads, away: DatabaseUnavailable
    ) -> None:
        """Keep the commands that arrive and refuse questions, until the database is back. Raises Stopped."""
        log_unavailable(self._service.name, len(commands), away)
        for delivery in commands:
            self._promise(delivery)
        kept: list[Delivery] = []
        while not self._database.answers():
            arrived = threads.next(PROBE_SECONDS)
            if arrived is not None and self._keep(arrived):
                kept.append(arrived)
        log_available(self._service.name)
        for delivery in kept:
            threads.put(delivery)

    def _keep(self, delivery: Delivery) -> bool:
        """While the database is away: whether this is a command to keep. A question is answered with no."""
        try:
            is_refused = self._reception.admit(delivery) is None
        except DatabaseUnavailable:
            is_refused = False  # its seal is opened when the keys can be read
        if self._is_command(delivery) and not is_refused:
            self._promise(delivery)
            return True
        if not is_refused:
            self._turn_away(delivery)
        self._dispatcher.acknowledge([delivery])
        return False

    def _turn_away(self, delivery: Delivery) -> None:
        """Answer a question with no, as the database is away."""
        self._dispatcher.reply(delivery, EncodedReply.problem(_DATABASE_AWAY))
        self._dispatcher.record("answered", delivery, status=_DATABASE_AWAY.status, code=_DATABASE_AWAY.code)

    def _promise(self, delivery: Delivery) -> None:
        """Tell who waits that the command is kept, rather than let them wait for the database too."""
        if delivery.message.message_id is not None:
            self._dispatcher.reply(delivery, EncodedReply.accepted(delivery.message.message_id))
            self._dispatcher.record("deferred", delivery, is_last=False, status=ACCEPTED)

    def _reply(self, calls: Calls, answers: Iterable[EncodedReply | HandlerFailed], done: list[Delivery]) -> None:
        for (delivery, call), answer in zip(calls, answers, strict=True):
            if isinstance(answer, HandlerFailed):
                self._see_to_fault(delivery, call, answer)
            else:
                if answer.is_problem and self._is_command(delivery) and not delivery.message.reply_to:
                    self._reception.dead_letter(delivery, "refused", answer.body.decode())
                self._dispatcher.reply(delivery, answer)
                self._dispatcher.record("answered", delivery, call, status=answer.status)
            done.append(delivery)

    def _see_to_fault(self, delivery: Delivery, call: Call, gave_up: HandlerFailed) -> None:
        """Another try later; after the last one the command is a dead letter, and who waits is told."""
        attempt = attempts_of(delivery.message) + 1
        trace_id = delivery.trace.trace_id
        log.error(
            "handler_failed",
            operation=delivery.message.queue,
            attempt=attempt,
            trace_id=trace_id,
            exception=gave_up.traceback,
        )
        if self._is_command(delivery):
            if self._dispatcher.schedule_retry(delivery, call):
                return
            self._reception.dead_letter(delivery, "fault", gave_up.message, gave_up)
        self._dispatcher.reply(delivery, EncodedReply.problem(INTERNAL_ERROR))
        self._dispatcher.record("dead_lettered", delivery, call, status=INTERNAL_ERROR.status)
