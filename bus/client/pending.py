"""In flight: the requests of one client that wait for their replies."""

import itertools
import threading
import time
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

from msgspec import structs

from bus import failpoints
from bus.client.tracing import Hops
from bus.contract.operations import Operation
from bus.contract.problems import AnswerLate, ProblemError, Unavailable
from bus.messaging.message import Message
from bus.messaging.publishing import not_taken
from bus.messaging.trace_context import Trace
from bus.messaging.transport import Outcome, Transport

# A late confirm is worth waiting for: it turns "unknown" into "accepted".
CONFIRM_SECONDS = 0.5


class Patience(NamedTuple):
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


class WaitingCall:
    """One call on its way. `news` gets its reply, a bad outcome, or None when no reply can come.

    It gets the confirm too where patience is short; else that would wake the caller for nothing.
    """

    __slots__ = ("_patience", "confirmed", "news")

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self.news: SimpleQueue[Message | Outcome | None] = SimpleQueue()
        self.confirmed = False

    def outcome(self, outcome: Outcome) -> None:
        """The broker has said what became of the request."""
        if outcome is Outcome.CONFIRMED:
            self.confirmed = True
            failpoints.reach("client.after-confirm")
        if outcome is not Outcome.CONFIRMED or self._patience.is_short:
            self.news.put(outcome)

    def wait(self, operation: type[Operation[Any]], message_id: str) -> Message:
        """The reply. Raises Unavailable; or AnswerLate, of a command only when the broker has confirmed it."""
        news = self._news(operation.is_command)
        if isinstance(news, Message):
            return news
        if isinstance(news, Outcome):
            raise not_taken(operation.operation_name, news)
        if operation.is_command and not self.confirmed:
            raise not_taken(operation.operation_name, Outcome.UNKNOWN)
        raise AnswerLate(operation.operation_name, message_id, self._patience.seconds)

    def _news(self, is_command: bool) -> Message | Outcome | None:
        """The reply, a bad outcome, or None when there was no more time, or nothing more to wait for."""
        while True:
            unsure = is_command and not self.confirmed
            left = (self._patience.taken_by if unsure else self._patience.answer_by) - time.monotonic()
            if self.confirmed and left <= 0:
                return None
            try:
                news = self.news.get(timeout=max(0.0, left))
            except Empty:
                return None
            if news is None:
                return self._last_word()
            if news is not Outcome.CONFIRMED:
                return news

    def _last_word(self) -> Outcome | None:
        """No reply can come any more. Why the broker did not take the request, if it says so now."""
        while not self.confirmed:
            try:
                news = self.news.get(timeout=CONFIRM_SECONDS)
            except Empty:
                return None
            if isinstance(news, Outcome) and news is not Outcome.CONFIRMED:
                return news
        return None


class InFlight:
    """At most `most` at the same time; one more is refused at once. Safe to use from many threads.

    `late_replies` counts those that nobody waited for any more, second ones among them.
    """

    def __init__(self, transport: Transport, hops: Hops, most: int) -> None:
        self._transport, self._hops, self._most = transport, hops, most
        self._room = threading.Semaphore(most)
        self._numbers = itertools.count(1)
        self._waiting: dict[str, WaitingCall] = {}
        self.late_replies = 0

    def exchange(self, operation: type[Operation[Any]], request: Message, patience: Patience, hop: Trace) -> Message:
        """Publish a request and wait for its reply. Raises Unavailable or AnswerLate."""
        if not self._room.acquire(blocking=False):
            raise Unavailable("too-many-in-flight", f"{self._most} requests are waiting here already.")
        begun, error = time.monotonic(), ""
        try:
            return self._published(operation, request, patience)
        except ProblemError as problem:
            error = problem.problem.code
            raise
        finally:
            self._room.release()
            self._hops.tell(request, hop, begun, error)

    def replied(self, reply: Message) -> None:
        """A reply has come, on the transport's thread."""
        call = self._waiting.get(str(reply.correlation_id))
        if call is None:
            self.late_replies += 1
        else:
            call.news.put(reply)

    def replies_lost(self) -> None:
        """Replies under way can no longer arrive."""
        for call in list(self._waiting.values()):
            call.news.put(None)

    def _published(self, operation: type[Operation[Any]], request: Message, patience: Patience) -> Message:
        reply_to = self._transport.reply_address
        if reply_to is None:
            raise not_taken(operation.operation_name, Outcome.AWAY)
        number = str(next(self._numbers))
        # A question nobody waits for any more is dropped by the broker; a command never is.
        left_ms = max(0, int((patience.answer_by - time.monotonic()) * 1000))
        expiration_ms = None if operation.is_command else left_ms
        request = structs.replace(request, reply_to=reply_to, correlation_id=number, expiration_ms=expiration_ms)
        call = self._waiting[number] = WaitingCall(patience)
        try:
            self._transport.publish(request, call.outcome)
            return call.wait(operation, request.message_id or "")
        finally:
            del self._waiting[number]
