"""In flight: the requests of one client that wait for their replies."""

import itertools
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

from msgspec import structs

from bus import failpoints
from bus.client.tracing import ClientTracing
from bus.contract.operations import Operation
from bus.contract.problems import ProblemError, ReplyTimeout, Unavailable
from bus.messaging.message import Message
from bus.messaging.publishing import not_taken
from bus.messaging.trace_context import Trace
from bus.messaging.transport import PublishOutcome, Transport

# A late confirm is worth waiting for: it turns "unknown" into "accepted".
CONFIRM_SECONDS = 0.5


class Deadlines(NamedTuple):
    """Until when a call waits (time.monotonic()): for the broker to take it, and for its answer.

    A query is worth nothing without its answer, so for it only `answer_by` counts. `seconds` is the time for the
    answer, from the beginning.
    """

    taken_by: float
    answer_by: float
    seconds: float

    @classmethod
    def of(cls, timeout: float, wait: float) -> Self:
        """From now on: `timeout` seconds for the broker, and `wait` seconds, no more than those, for the answer."""
        now = time.monotonic()
        return cls(now + timeout, now + min(wait, timeout), min(wait, timeout))

    @property
    def is_short(self) -> bool:
        """Whether a command's caller is told as soon as the broker has taken it, before the time for that is over."""
        return self.answer_by < self.taken_by


class PendingCall:
    """One call on its way. `results` gets its reply, a bad outcome, or None when no reply can come.

    It gets the confirm too where patience is short; else that would wake the caller for nothing.
    """

    __slots__ = ("_deadlines", "confirmed", "results")

    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self.results: SimpleQueue[Message | PublishOutcome | None] = SimpleQueue()
        self.confirmed = False

    def outcome(self, outcome: PublishOutcome) -> None:
        """The broker has said what became of the request."""
        if outcome is PublishOutcome.CONFIRMED:
            self.confirmed = True
            failpoints.reach("client.after-confirm")
        if outcome is not PublishOutcome.CONFIRMED or self._deadlines.is_short:
            self.results.put(outcome)

    def wait(self, operation: type[Operation[Any]], message_id: str) -> Message:
        """The reply. Raises Unavailable; or ReplyTimeout, of a command only when the broker has confirmed it."""
        results = self._result(operation.is_command)
        if isinstance(results, Message):
            return results
        if isinstance(results, PublishOutcome):
            raise not_taken(operation.operation_name, results)
        if operation.is_command and not self.confirmed:
            raise not_taken(operation.operation_name, PublishOutcome.UNKNOWN)
        raise ReplyTimeout(operation.operation_name, message_id, self._deadlines.seconds)

    def _result(self, is_command: bool) -> Message | PublishOutcome | None:
        """The reply, a bad outcome, or None when there was no more time, or nothing more to wait for."""
        while True:
            unsure = is_command and not self.confirmed
            left = (self._deadlines.taken_by if unsure else self._deadlines.answer_by) - time.monotonic()
            if self.confirmed and left <= 0:
                return None
            try:
                results = self.results.get(timeout=max(0.0, left))
            except Empty:
                return None
            if results is None:
                return self._last_word()
            if results is not PublishOutcome.CONFIRMED:
                return results

    def _last_word(self) -> PublishOutcome | None:
        """No reply can come any more. Why the broker did not take the request, if it says so now."""
        while not self.confirmed:
            try:
                results = self.results.get(timeout=CONFIRM_SECONDS)
            except Empty:
                return None
            if isinstance(results, PublishOutcome) and results is not PublishOutcome.CONFIRMED:
                return results
        return None


class PendingCalls:
    """At most `most` at the same time; one more is refused at once. Safe to use from many threads.

    `late_replies` counts those that nobody waited for any more, second ones among them.
    """

    def __init__(self, transport: Transport, tracing: ClientTracing, most: int) -> None:
        self._transport, self._tracing, self._most = transport, tracing, most
        self._room = threading.Semaphore(most)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, PendingCall] = {}
        self.late_replies = 0

    def exchange(self, operation: type[Operation[Any]], request: Message, deadlines: Deadlines, hop: Trace) -> Message:
        """Publish a request and wait for its reply. Raises Unavailable or ReplyTimeout."""
        if not self._room.acquire(blocking=False):
            raise Unavailable("too-many-in-flight", f"{self._most} requests are waiting here already.")
        begun, error = time.monotonic(), ""
        try:
            return self._published(operation, request, deadlines)
        except ProblemError as problem:
            error = problem.problem.code
            raise
        finally:
            self._room.release()
            self._tracing.record(request, hop, begun, error)

    def replied(self, reply: Message) -> None:
        """A reply has come, on the transport's thread."""
        call = self._waiting.get(str(reply.correlation_id))
        if call is None:
            self.late_replies += 1
        else:
            call.results.put(reply)

    def replies_lost(self) -> None:
        """Replies under way can no longer arrive."""
        for call in list(self._waiting.values()):
            call.results.put(None)

    def _published(self, operation: type[Operation[Any]], request: Message, deadlines: Deadlines) -> Message:
        reply_to = self._transport.reply_address
        if reply_to is None:
            raise not_taken(operation.operation_name, PublishOutcome.DISCONNECTED)
        number = str(next(self._numbers))
        # A question nobody waits for any more is dropped by the broker; a command never is.
        left_ms = max(0, int((deadlines.answer_by - time.monotonic()) * 1000))
        expiration_ms = None if operation.is_command else left_ms
        request = structs.replace(request, reply_to=reply_to, correlation_id=number, expiration_ms=expiration_ms)
        call = self._waiting[number] = PendingCall(deadlines)
        try:
            self._transport.publish(request, call.outcome)
            return call.wait(operation, request.message_id or "")
        finally:
            del self._waiting[number]
