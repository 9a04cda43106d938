"""Requests: what a worker does with questions and commands, from their arrival to their acknowledgement."""

from collections.abc import Iterable, Sequence

import structlog

from bus import failpoints
from bus.contract.problems import Unavailable
from bus.database.engine import Database, DatabaseAway
from bus.messaging.call import Call
from bus.messaging.message import Delivery
from bus.messaging.redelivery import attempts_of
from bus.messaging.replies import ACCEPTED, Answer
from bus.messaging.topology import SUSPECT_DELIVERIES
from bus.security.unsealer import Unsealer
from bus.service.service import Service
from bus.worker.dispatcher import Outgoing
from bus.worker.execution import INTERNAL_ERROR, Emitted, GaveUp, answer_queries, carry_out
from bus.worker.reception import Reception
from bus.worker.threads import PROBE_SECONDS, Lane, tell_away, tell_back

log = structlog.get_logger("bus.worker")

_DATABASE_AWAY = Unavailable("database-away", "The service's database cannot be reached.").problem

Calls = Sequence[tuple[Delivery, Call]]


class Requests:
    """Works off requests. The order for every message: commit, reply, acknowledge.

    Whatever dies in between, the message is delivered again and answered from the inbox.
    """

    def __init__(
        self, service: Service, database: Database, outgoing: Outgoing, emitted: Emitted, unsealer: Unsealer
    ) -> None:
        self._service, self._database, self._outgoing, self._emitted = service, database, outgoing, emitted
        self._reception = Reception(service, outgoing, unsealer)

    def work_off(self, batch: Sequence[Delivery], lane: Lane) -> None:
        """Carry out, reply and acknowledge. Raises Stopped; what was finished by then is acknowledged all the same."""
        self._outgoing.tell_batch(len(batch))
        done: list[Delivery] = []
        try:
            self._work_off(batch, lane, done)
        finally:
            self._outgoing.acknowledge(done)

    def _work_off(self, batch: Sequence[Delivery], lane: Lane, done: list[Delivery]) -> None:
        suspects = [delivery for delivery in batch if self._is_suspect(delivery)]
        self._outgoing.set_apart(suspects)
        queries: list[tuple[Delivery, Call]] = []
        commands: list[tuple[Delivery, Call]] = []
        for delivery in batch if not suspects else [each for each in batch if each not in suspects]:
            call = self._admit(delivery, lane)
            if call is None:
                done.append(delivery)
            else:
                (commands if self._is_command(delivery) else queries).append((delivery, call))
        self._answer(queries, done)
        self._carry_out(commands, lane, done)

    def _is_suspect(self, delivery: Delivery) -> bool:
        """Whether a worker may have died of this message. Of a question no more than one death is known."""
        return delivery.deaths >= (SUSPECT_DELIVERIES if self._is_command(delivery) else 1)

    def _is_command(self, delivery: Delivery) -> bool:
        return self._service.operations[delivery.message.queue].is_command

    def _admit(self, delivery: Delivery, lane: Lane) -> Call | None:
        while True:
            try:
                return self._reception.admit(delivery)
            except DatabaseAway as away:  # it holds the keys to sealed secrets
                if not self._is_command(delivery):
                    self._turn_away(delivery)
                    return None
                self._wait_for_database([delivery], lane, away)

    def _answer(self, queries: Calls, done: list[Delivery]) -> None:
        if not queries:
            return
        try:
            answers = answer_queries([call for _, call in queries], self._service, self._database)
        except DatabaseAway:
            answers = [Answer.problem(_DATABASE_AWAY) for _ in queries]
        self._reply(queries, answers, done)

    def _carry_out(self, commands: Calls, lane: Lane, done: list[Delivery]) -> None:
        while commands:
            try:
                calls = [call for _, call in commands]
                answers = carry_out(calls, self._service, self._database, self._emitted)
            except DatabaseAway as away:
                self._wait_for_database([delivery for delivery, _ in commands], lane, away)
            else:
                failpoints.reach("worker.after-commit")
                self._reply(commands, answers, done)
                return

    def _wait_for_database(self, commands: Sequence[Delivery], lane: Lane, away: DatabaseAway) -> None:
        """Keep the commands that arrive and refuse questions, until the database is back. Raises Stopped."""
        tell_away(self._service.name, len(commands), away)
        for delivery in commands:
            self._promise(delivery)
        kept: list[Delivery] = []
        while not self._database.answers():
            arrived = lane.next(PROBE_SECONDS)
            if arrived is not None and self._keep(arrived):
                kept.append(arrived)
        tell_back(self._service.name)
        for delivery in kept:
            lane.put(delivery)

    def _keep(self, delivery: Delivery) -> bool:
        """While the database is away: whether this is a command to keep. A question is answered with no."""
        try:
            is_refused = self._reception.admit(delivery) is None
        except DatabaseAway:
            is_refused = False  # its seal is opened when the keys can be read
        if self._is_command(delivery) and not is_refused:
            self._promise(delivery)
            return True
        if not is_refused:
            self._turn_away(delivery)
        self._outgoing.acknowledge([delivery])
        return False

    def _turn_away(self, delivery: Delivery) -> None:
        """Answer a question with no, as the database is away."""
        self._outgoing.reply(delivery, Answer.problem(_DATABASE_AWAY))
        self._outgoing.tell("answered", delivery, status=_DATABASE_AWAY.status, code=_DATABASE_AWAY.code)

    def _promise(self, delivery: Delivery) -> None:
        """Tell who waits that the command is kept, rather than let them wait for the database too."""
        if delivery.message.message_id is not None:
            self._outgoing.reply(delivery, Answer.accepted(delivery.message.message_id))
            self._outgoing.tell("kept", delivery, is_last=False, status=ACCEPTED)

    def _reply(self, calls: Calls, answers: Iterable[Answer | GaveUp], done: list[Delivery]) -> None:
        for (delivery, call), answer in zip(calls, answers, strict=True):
            if isinstance(answer, GaveUp):
                self._see_to_fault(delivery, call, answer)
            else:
                if answer.is_problem and self._is_command(delivery) and not delivery.message.reply_to:
                    self._reception.bury(delivery, "refused", answer.body.decode())
                self._outgoing.reply(delivery, answer)
                self._outgoing.tell("answered", delivery, call, status=answer.status)
            done.append(delivery)

    def _see_to_fault(self, delivery: Delivery, call: Call, gave_up: GaveUp) -> None:
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
            if self._outgoing.try_later(delivery, call):
                return
            self._reception.bury(delivery, "fault", gave_up.message, gave_up)
        self._outgoing.reply(delivery, Answer.problem(INTERNAL_ERROR))
        self._outgoing.tell("buried", delivery, call, status=INTERNAL_ERROR.status)
