"""Waiting calls: requests that are on their way, and what may come back."""

import time
from queue import Empty, SimpleQueue
from typing import Any

from bus.message import Message
from bus.operation import Operation
from bus.problem import AnswerLate, Unavailable
from bus.transport import Outcome

# A late confirm is worth waiting for: it turns "unknown" into "accepted".
CONFIRM_SECONDS = 0.5

_REFUSED_BY_BROKER = {
    Outcome.FULL: ("queue-full", "{} has more requests waiting than it can take."),
    Outcome.UNROUTABLE: ("no-such-queue", "There is no queue {}: its service has never run on this broker."),
    Outcome.BLOCKED: ("broker-blocked", "The broker is short of memory or disk and takes no requests for {}."),
    Outcome.AWAY: ("broker-away", "The broker cannot be reached; {} was not sent."),
    Outcome.UNKNOWN: (
        "outcome-unknown",
        "The connection was lost while {} was sent. Send it again with the same id: it will be done once.",
    ),
}


class WaitingCall:
    """One call on its way. `news` gets its reply, a bad outcome, or None when no reply can come."""

    __slots__ = ("confirmed", "news")

    def __init__(self) -> None:
        self.news: SimpleQueue[Message | Outcome | None] = SimpleQueue()
        self.confirmed = False

    def outcome(self, outcome: Outcome) -> None:
        """The broker has said what became of the request."""
        if outcome is Outcome.CONFIRMED:
            self.confirmed = True
        else:
            self.news.put(outcome)

    def wait(self, operation: type[Operation[Any]], message_id: str, deadline: float, timeout: float) -> Message:
        """The reply; at most until the deadline (time.monotonic()). Raises Unavailable or AnswerLate."""
        try:
            news = self.news.get(timeout=max(0.0, deadline - time.monotonic()))
            if news is None and not self.confirmed:
                news = self.news.get(timeout=CONFIRM_SECONDS)
        except Empty:
            news = None
        if isinstance(news, Message):
            return news
        if isinstance(news, Outcome):
            raise not_taken(operation, news)
        if operation.is_command and not self.confirmed:
            raise not_taken(operation, Outcome.UNKNOWN)
        raise AnswerLate(operation.operation_name, message_id, timeout)


def not_taken(operation: type[Operation[Any]], outcome: Outcome) -> Unavailable:
    """Why the broker did not take a request, for whoever sent it."""
    code, detail = _REFUSED_BY_BROKER[outcome]
    return Unavailable(code, detail.format(operation.operation_name))
