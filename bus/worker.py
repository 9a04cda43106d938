"""The worker: takes messages, has them carried out, replies, and acknowledges last."""

import threading
import time
from collections.abc import Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import structlog

from bus.admission import admit, is_hopeless, without_secrets
from bus.answer import ACCEPTED, Answer
from bus.call import Call
from bus.carrying_out import INTERNAL_ERROR, GaveUp, answer_queries, carry_out
from bus.database import Database, DatabaseAway
from bus.dead_letter import dead_letter
from bus.message import Delivery, Message
from bus.operation import Operation
from bus.problem import Invalid, Unavailable
from bus.service import Service
from bus.topology import queues_of
from bus.transport import Outcome, Transport, Wiring

# A batch is what has already arrived, up to this many: enough to share one commit, few enough that
# the first does not wait for the last.
MAX_BATCH = 64
# Messages on hand for each queue: a batch in work and the next ones.
PREFETCH = 2 * MAX_BATCH
# While the database is away: how often it is asked whether it is back.
PROBE_SECONDS = 0.5
# How long a dead letter waits for its confirm, and for another try, while the broker takes nothing.
CONFIRM_SECONDS = 5.0
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 5.0

log = structlog.get_logger("bus.worker")

_DATABASE_AWAY = Unavailable("database-away", "The service's database cannot be reached.").problem


class Worker:
    """Runs one service's handlers on one transport. Start it, and stop it once.

    The order for every message: commit, reply, acknowledge. Whatever dies in between, the message is
    delivered again and answered from the inbox.
    """

    def __init__(self, service: Service, transport: Transport, database: Database) -> None:
        self._service, self._transport, self._database = service, transport, database
        self._arrived: SimpleQueue[Delivery | None] = SimpleQueue()
        self._stopping = threading.Event()
        self.failure: Exception | None = None  # why a thread ended that should not have
        self._threads = [
            threading.Thread(target=self._run, name=f"{service.name}-{number}", daemon=True)
            for number in range(service.threads)
        ]

    def start(self) -> None:
        """Connect and begin to consume; returns at once."""
        queues = queues_of(handler.operation for handler in self._service.handlers.values())
        prefetch = PREFETCH if self._service.threads == 1 else 2 * self._service.threads
        consumed = [queue for queue in queues if queue.kind != "dead"]
        wiring = Wiring(declares=queues, consumes=consumed, prefetch=prefetch, on_delivery=self._arrived.put)
        self._transport.open(wiring)
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """Take nothing more, finish what is in hand, and close; takes at most about `seconds`."""
        deadline = time.monotonic() + seconds
        self._stopping.set()
        self._transport.stop_consuming()
        for _ in self._threads:
            self._arrived.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._transport.close(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._work_off(batch)
        except _Stopped:
            pass
        except Exception as error:
            # A defect of ours. Going on without this thread would look alive and do nothing.
            log.exception("worker_failed", service=self._service.name)
            self.failure = error

    def _take(self) -> list[Delivery]:
        """The next deliveries, at least one; empty when the worker stops."""
        limit = MAX_BATCH if self._service.threads == 1 else 1
        first = self._arrived.get()
        batch = [] if first is None else [first]
        while batch and len(batch) < limit:
            try:
                more = self._arrived.get_nowait()
            except Empty:
                break
            if more is None:
                self._arrived.put(None)
                break
            batch.append(more)
        return batch

    def _work_off(self, batch: Sequence[Delivery]) -> None:
        queries: list[tuple[Delivery, Call]] = []
        commands: list[tuple[Delivery, Call]] = []
        for delivery in batch:
            if self._is_expired(delivery):
                continue
            try:
                call = admit(delivery.message, self._operation_of(delivery))
            except Invalid as refused:
                self._refuse(delivery, refused)
            else:
                (commands if call.operation.is_command else queries).append((delivery, call))
        self._answer_queries(queries)
        undone = [] if self._carry_out(commands) else [delivery for delivery, _ in commands]
        self._transport.acknowledge([delivery for delivery in batch if delivery not in undone] if undone else batch)

    def _answer_queries(self, queries: Sequence[tuple[Delivery, Call]]) -> None:
        if not queries:
            return
        try:
            answers = answer_queries([call for _, call in queries], self._service, self._database)
        except DatabaseAway:
            answers = [Answer.problem(_DATABASE_AWAY) for _ in queries]
        self._reply(queries, answers)

    def _carry_out(self, commands: Sequence[tuple[Delivery, Call]]) -> bool:
        """False when the worker stops before the database is back: then the broker keeps the commands."""
        while commands:
            try:
                answers = carry_out([call for _, call in commands], self._service, self._database)
            except DatabaseAway as away:
                log.warning("database_away", service=self._service.name, waiting=len(commands), reason=str(away)[:200])
                for delivery, _ in commands:
                    self._promise(delivery)
                if not self._wait_for_database():
                    return False
            else:
                self._reply(commands, answers)
                break
        return True

    def _wait_for_database(self) -> bool:
        """Keep the commands that arrive and refuse questions, until the database is back or the worker stops."""
        kept: list[Delivery] = []
        while not self._database.answers():
            try:
                delivery = self._arrived.get(timeout=PROBE_SECONDS)
            except Empty:
                continue
            if delivery is None:
                self._arrived.put(None)
                return False
            if self._keep(delivery):
                kept.append(delivery)
        log.info("database_back", service=self._service.name)
        for delivery in kept:
            self._arrived.put(delivery)
        return True

    def _keep(self, delivery: Delivery) -> bool:
        """While the database is away: whether this is a command to keep. A question is answered with no."""
        try:
            call = admit(delivery.message, self._operation_of(delivery))
        except Invalid as refused:
            self._refuse(delivery, refused)
        else:
            if call.operation.is_command:
                self._promise(delivery)
                return True
            self._send(Answer.problem(_DATABASE_AWAY).to(delivery.message))
        self._transport.acknowledge([delivery])
        return False

    def _promise(self, delivery: Delivery) -> None:
        """Tell who waits that the command is kept, rather than let them wait for the database too."""
        if delivery.message.message_id is not None:
            self._send(Answer.accepted(delivery.message.message_id).to(delivery.message))
            _log("kept", delivery, status=ACCEPTED)

    def _reply(self, calls: Sequence[tuple[Delivery, Call]], answers: Iterable[Answer | GaveUp]) -> None:
        for (delivery, call), answer in zip(calls, answers, strict=True):
            if isinstance(answer, GaveUp):
                self._give_up(delivery, answer)
                continue
            if answer.is_problem and call.operation.is_command and not delivery.message.reply_to:
                self._bury(delivery, "refused", answer.body.decode())
            self._send(answer.to(delivery.message))
            _log("answered", delivery, status=answer.status)

    def _refuse(self, delivery: Delivery, refused: Invalid) -> None:
        """Tell the sender; where there is none, or the message makes no sense at all, keep it for a person."""
        problem, message = refused.problem, delivery.message
        if is_hopeless(refused) or not message.reply_to:
            self._bury(delivery, problem.code, problem.detail)
        if problem.code != "reply-to-forbidden":
            self._send(Answer.problem(problem).to(message))
        _log("refused", delivery, status=problem.status, code=problem.code)

    def _give_up(self, delivery: Delivery, gave_up: GaveUp) -> None:
        log.error("handler_failed", operation=delivery.message.queue, exc_info=gave_up.__cause__)
        if self._operation_of(delivery).is_command:
            self._bury(delivery, "fault", repr(gave_up))
        self._send(Answer.problem(INTERNAL_ERROR).to(delivery.message))
        _log("buried", delivery, status=INTERNAL_ERROR.status)

    def _send(self, reply: Message | None) -> None:
        if reply is not None:
            self._transport.publish(reply)

    def _bury(self, delivery: Delivery, code: str, detail: str) -> None:
        """Put the message into the dead letters; returns when the broker has it. Raises _Stopped."""
        body = without_secrets(delivery.message, self._operation_of(delivery))
        letter = dead_letter(delivery.message, self._service.name, body, code, detail)
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        while True:
            self._transport.publish(letter, outcomes.put)
            try:
                outcome = outcomes.get(timeout=CONFIRM_SECONDS)
            except Empty:
                outcome = Outcome.UNKNOWN
            if outcome is Outcome.CONFIRMED:
                return
            log.warning("dead_letter_not_taken", outcome=outcome.name)
            if self._stopping.wait(RETRY_SECONDS):
                raise _Stopped

    def _is_expired(self, delivery: Delivery) -> bool:
        """Whether nobody waits for the answer to a question any more. Commands are carried out however late."""
        allowed = delivery.message.expiration_ms
        if allowed is None or self._operation_of(delivery).is_command:
            return False
        return (time.monotonic() - delivery.received_at) * 1000 > allowed

    def _operation_of(self, delivery: Delivery) -> type[Operation[Any]]:
        return self._service.handlers[delivery.message.queue].operation


class _Stopped(Exception):
    """The worker stops while the broker takes no dead letters; it keeps the messages, and delivers them again."""


def _log(event: str, delivery: Delivery, **facts: object) -> None:
    # Pings are the pulse of health checks; one line each would drown the rest.
    tell = log.debug if delivery.message.queue.endswith(".ping") else log.info
    tell(
        event,
        operation=delivery.message.queue,
        id=delivery.message.message_id,
        ms=round((time.monotonic() - delivery.received_at) * 1000, 1),
        **facts,
    )
