"""Requests: the way of queries and commands through a worker, from their arrival to their acknowledgement.

The order for every message: commit, reply, acknowledge. Whatever dies in between, the message is delivered again and
answered from the inbox.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from bus import failpoints
from bus.contract.identity import Caller
from bus.contract.operations import Operation
from bus.contract.problems import Problem, Unavailable
from bus.database.engine import Database
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import AUTHORIZATION, POSTPONED, attempts_of, first_at_of
from bus.messaging.replies import ACCEPTED, EncodedReply
from bus.messaging.topology import SUSPECT_DELIVERIES
from bus.messaging.transport import Transport
from bus.service.handler import Handler
from bus.service.nested_calls import NestedCalls
from bus.worker.admission import Admission, ContractFailed
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import SHORT_LOCK_SECONDS, Executor, OnEvents, Postponed
from bus.worker.failures import FailureRecord
from bus.worker.handler_runs import CALLED_AWAY, INTERNAL_ERROR, HandlerFailed, answer_queries
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import PROBE_SECONDS, Arrivals, DatabaseWaits

log = structlog.get_logger("bus.worker")

Calls = Sequence[tuple[Delivery, Call]]


class RequestConsumer:
    """Handles batches of requests of one service. `nested` calls other services for its handlers.

    `give_up`: how long a command is tried again while a service that it calls is away.
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        database: Database,
        waits: DatabaseWaits,
        transport: Transport,
        admission: Admission,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
        failures: FailureRecord,
        *,
        nested: NestedCalls,
        give_up: timedelta,
        on_events: OnEvents,
    ) -> None:
        self._handlers, self._database, self._waits, self._transport = handlers, database, waits, transport
        self._nested, self._give_up, self._failures = nested, give_up, failures
        self._admission, self._dispatcher, self._telemetry = admission, dispatcher, telemetry
        self._executor = Executor(handlers, database, nested=nested, on_events=on_events)
        self._operations: dict[str, type[Operation[Any]]] = {
            name: handler.operation for name, handler in handlers.items() if issubclass(handler.operation, Operation)
        }

    def handle_batch(self, batch: Sequence[Delivery], threads: Arrivals) -> None:
        """Carry out, reply and acknowledge. Raises Stopped; what was finished by then is acknowledged all the same."""
        self._telemetry.record_batch(len(batch))
        done: list[Delivery] = []
        try:
            queries, transient, commands = self._admit_all(batch, threads, done)
            if queries:
                self._answer(queries, done)
            if transient:
                self._attempt(transient, done)
            if late := [each for each in commands if POSTPONED in each[0].message.headers]:
                self._execute(late, threads, done, are_late=True)
                commands = [each for each in commands if each not in late]
            if commands:
                self._execute(commands, threads, done)
        finally:
            self._transport.acknowledge(done)

    def _admit_all(
        self, batch: Sequence[Delivery], threads: Arrivals, done: list[Delivery]
    ) -> tuple[list[tuple[Delivery, Call]], ...]:
        """Queries, transient commands and commands.

        Those that a worker may have died of go to the quarantine first; a transient command is given up.
        """
        if suspects := [delivery for delivery in batch if delivery.deaths and self._is_suspect(delivery)]:
            self._dispatcher.quarantine([self._admission.vouched(each) for each in suspects])
        admitted: dict[str, list[tuple[Delivery, Call]]] = {"query": [], "transient": [], "command": []}
        for delivery in batch:
            if suspects and delivery in suspects:
                continue
            kind = self._operations[delivery.message.queue].operation_kind
            if kind == "transient" and delivery.deaths:
                self._turn_away(delivery, _LOST)
                call = None
            else:
                call = self._admit(delivery, threads)
            if call is None:
                done.append(delivery)
            else:
                admitted[kind].append((delivery, call))
        return tuple(admitted.values())

    def _is_suspect(self, delivery: Delivery) -> bool:
        """Whether a worker may have died of this message. Classic queues, those of queries, count one death at most."""
        kind = self._operations[delivery.message.queue].operation_kind
        return kind != "transient" and delivery.deaths >= (SUSPECT_DELIVERIES if kind == "command" else 1)

    def _admit(self, delivery: Delivery, threads: Arrivals) -> Call | None:
        while True:
            try:
                return self._admission.admit(delivery)
            except Unavailable as error:  # it has the keys of access tokens
                if self._operations[delivery.message.queue].is_durable and self._dispatcher.postpone(
                    self._admission.vouched(delivery), None, str(error), grows=False
                ):
                    if POSTPONED not in delivery.message.headers:
                        self._promise(delivery)
                else:
                    self._turn_away(delivery, error.problem)
                return None
            except ContractFailed as failed:
                operation = self._operations[delivery.message.queue]
                self._retry_or_give_up(delivery, None, HandlerFailed(failed.error, operation), failed.caller)
                return None
            except DatabaseUnavailable as error:  # it holds the keys to sealed secrets
                if not self._operations[delivery.message.queue].is_durable:
                    self._turn_away(delivery, _away(error.sentence))
                    return None
                if self._is_sent_again(delivery, None, error.sentence):
                    return None
                self._promise(delivery)
                self._wait_for_database([delivery], threads, error)
                self._waits.end()

    def _answer(self, queries: Calls, done: list[Delivery]) -> None:
        try:
            replies = answer_queries([call for _, call in queries], self._handlers, self._database, self._nested)
        except DatabaseUnavailable as error:
            replies = [EncodedReply.problem(_away(error.sentence), delivery.trace) for delivery, _ in queries]
        self._reply(queries, replies, done)

    def _attempt(self, transient: Calls, done: list[Delivery]) -> None:
        """Carry out transient commands now. What the database keeps from being done now is refused."""
        try:
            replies = self._executor.execute([call for _, call in transient])
        except DatabaseUnavailable as error:
            for delivery, _ in transient:
                self._turn_away(delivery, _away(error.sentence))
                done.append(delivery)
        else:
            if failpoints.armed:
                failpoints.reach("worker.after-commit")
            self._reply(transient, replies, done)

    def _execute(self, commands: Calls, threads: Arrivals, done: list[Delivery], *, are_late: bool = False) -> None:
        """Carry out, however long that has to wait for the database. `are_late`: they were postponed before."""
        lock_seconds, has_waited = SHORT_LOCK_SECONDS if are_late else None, False
        kept: list[Delivery] = []
        while True:
            try:
                replies = self._executor.execute([call for _, call in commands], lock_seconds)
            except DatabaseUnavailable as error:
                if not has_waited:
                    again = [each for each in commands if self._is_sent_again(*each, error.sentence)]
                    self._transport.acknowledge([*done, *(delivery for delivery, _ in again)])
                    done.clear()
                    commands = [each for each in commands if each not in again]
                    for delivery, _ in commands:
                        self._promise(delivery)
                has_waited = True
                kept += self._wait_for_database([delivery for delivery, _ in commands], threads, error)
            else:
                break
        if has_waited:
            self._waits.end()
            for delivery in kept:
                threads.put(delivery)
        if failpoints.armed:
            failpoints.reach("worker.after-commit")
        self._reply(commands, replies, done)

    def _reply(
        self, calls: Calls, replies: Iterable[EncodedReply | HandlerFailed | Postponed], done: list[Delivery]
    ) -> None:
        for (delivery, call), reply in zip(calls, replies, strict=True):
            operation = self._operations[delivery.message.queue]
            if isinstance(reply, Postponed):
                if operation.is_durable:
                    self._postpone(delivery, call, reply)
                else:
                    self._turn_away(delivery, Unavailable(reply.code, reply.sentence).problem)
            elif isinstance(reply, HandlerFailed):
                self._retry_or_give_up(delivery, call, reply, call.caller)
            else:
                if reply.status >= 400 and operation.is_durable and not delivery.message.reply_to:
                    self._dispatcher.dead_letter_request(
                        delivery, operation, "refused", reply.body.decode(), caller=call.caller
                    )
                self._dispatcher.reply(delivery, reply)
                self._telemetry.record("answered", delivery, call, status=reply.status)
            done.append(delivery)

    def _retry_or_give_up(self, delivery: Delivery, call: Call | None, failed: HandlerFailed, caller: Caller) -> None:
        """Retry later; after the last try the command is a dead letter, and its caller gets a 500.

        Without a `call` it is the contract that failed: another release may have mended it by then.
        """
        operation, attempt = self._operations[delivery.message.queue], attempts_of(delivery.message) + 1
        log.error(
            "handler_failed",
            operation=delivery.message.queue,
            attempt=attempt,
            trace_id=delivery.trace.trace_id,
            exception=failed.traceback,
        )
        pause = self._dispatcher.next_retry(delivery) if operation.is_durable else None
        seconds = None if pause is None else pause.delay_seconds
        self._failures.add(delivery, failed, operation.operation_name, caller.id, attempt, seconds)
        if pause is not None:
            self._dispatcher.schedule_retry(self._admission.vouched(delivery, call), call, pause)
            return
        if operation.is_durable:
            self._dispatcher.dead_letter_request(delivery, operation, "fault", failed.message, failed, caller)
        self._dispatcher.reply(delivery, EncodedReply.problem(INTERNAL_ERROR, delivery.trace))
        outcome = "dead_lettered" if operation.is_durable else "answered"
        self._telemetry.record(outcome, delivery, call, status=INTERNAL_ERROR.status)

    def _postpone(self, delivery: Delivery, call: Call, postponed: Postponed) -> None:
        """Try a command later that needs what another transaction holds, or a service that is away.

        Its caller need not wait for that.
        """
        is_called_away, sentence = postponed.code == CALLED_AWAY, postponed.sentence
        if is_called_away and datetime.now(UTC) - first_at_of(delivery.message) > self._give_up:
            self._give_up_waiting(delivery, call, sentence)
            return
        if POSTPONED not in delivery.message.headers:
            self._promise(delivery)
        if not self._dispatcher.postpone(self._admission.vouched(delivery, call), call, sentence, grows=is_called_away):
            self._retry_or_give_up(delivery, call, HandlerFailed(TimeoutError(sentence), call.operation), call.caller)

    def _give_up_waiting(self, delivery: Delivery, call: Call, sentence: str) -> None:
        """A service that it calls was away for too long: the command is a dead letter, and its caller gets a 500."""
        hours = self._give_up.total_seconds() / 3600
        operation = self._operations[delivery.message.queue]
        detail = f"Tried for {hours:g} hours. The last time: {sentence}"
        self._dispatcher.dead_letter_request(delivery, operation, CALLED_AWAY, detail, caller=call.caller)
        self._dispatcher.reply(delivery, EncodedReply.problem(INTERNAL_ERROR, delivery.trace))
        self._telemetry.record("dead_lettered", delivery, call, status=INTERNAL_ERROR.status, code=CALLED_AWAY)

    def _wait_for_database(
        self, commands: Sequence[Delivery], threads: Arrivals, error: DatabaseUnavailable
    ) -> list[Delivery]:
        """Wait until the database answers, and at least for a moment; what arrives meanwhile and is kept.

        A database that takes no writes answers at once. Raises Stopped.
        """
        self._waits.begin(error, len(commands))
        kept: list[Delivery] = []
        until = time.monotonic() + PROBE_SECONDS
        while (left := until - time.monotonic()) > 0 or not self._database.answers():
            arrived = threads.next(max(left, 0.0) or PROBE_SECONDS)
            if arrived is not None and self._keep(arrived, error.sentence):
                kept.append(arrived)
        return kept

    def _keep(self, delivery: Delivery, sentence: str) -> bool:
        """While the database is away: whether this is a command to keep. What is not durable is refused."""
        call, is_refused = None, False
        try:
            call = self._admission.admit(delivery)
            is_refused = call is None
        except (DatabaseUnavailable, Unavailable, ContractFailed):
            pass  # its seal, its token and its contract are looked at when the database is back
        is_durable = self._operations[delivery.message.queue].is_durable
        if is_durable and not is_refused and not self._is_sent_again(delivery, call, sentence):
            self._promise(delivery)
            return True
        if not is_refused and not is_durable:
            self._turn_away(delivery, _away(sentence))
        self._transport.acknowledge([delivery])
        return False

    def _is_sent_again(self, delivery: Delivery, call: Call | None, sentence: str) -> bool:
        """While the database is away: whether this command is postponed, because it came back from a worker before.

        The broker takes back what is not acknowledged in time (30 minutes, if it is not configured), and counts that as
        a death, whether a worker died or waited. The copy counts from the start, however long this takes.
        """
        # Without its call it is not known who sent it, and a copy has no plain token.
        if not delivery.deaths or (call is None and AUTHORIZATION in delivery.message.headers):
            return False
        if not self._dispatcher.postpone(self._admission.vouched(delivery, call), call, sentence, grows=False):
            return False
        if POSTPONED not in delivery.message.headers:
            self._promise(delivery)
        return True

    def _turn_away(self, delivery: Delivery, problem: Problem) -> None:
        """Refuse a request that cannot be done now and that nothing keeps until it can."""
        self._dispatcher.reply(delivery, EncodedReply.problem(problem, delivery.trace))
        self._telemetry.record("answered", delivery, status=problem.status, code=problem.code)

    def _promise(self, delivery: Delivery) -> None:
        """Answer that the command is kept, rather than let its caller wait for the database too."""
        if delivery.message.message_id is not None:
            self._dispatcher.reply(delivery, EncodedReply.accepted(delivery.message.message_id))
            self._telemetry.record("deferred", delivery, is_last=False, status=ACCEPTED)


_LOST = Unavailable(
    "outcome-unknown",
    "The worker that had this request was lost. It may have been carried out, and is not tried again.",
).problem


def _away(sentence: str) -> Problem:
    return Unavailable("database-away", sentence).problem
