"""Waiting calls: requests that are on their way, and what may come back."""

import time
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

from bus import failpoints
from bus.contract.operations import Operation
from bus.contract.problems import AnswerLate
from bus.messaging.message import Message
from bus.messaging.publishing import not_taken
from bus.messaging.transport import Outcome

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
