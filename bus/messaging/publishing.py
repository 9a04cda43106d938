"""Publishing with certainty: several messages at once, and what the broker said of each."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue

from bus.contract.problems import Unavailable
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome, Transport

_REFUSED_BY_BROKER = {
    PublishOutcome.FULL: ("queue-full", "{} has more requests waiting than it can take."),
    PublishOutcome.UNROUTABLE: ("no-such-queue", "There is no queue {}: its service has never run on this broker."),
    PublishOutcome.BLOCKED: ("broker-blocked", "The broker is short of memory or disk and takes no requests for {}."),
    PublishOutcome.DISCONNECTED: ("broker-away", "The broker cannot be reached; {} was not sent."),
    PublishOutcome.UNKNOWN: (
        "outcome-unknown",
        "The connection was lost while {} was sent. Send it again with the same id: it will be done once.",
    ),
}


def publish_all(
    transport: Transport,
    messages: Sequence[Message],
    seconds: float,
    on_confirmed: Callable[[int], None] = lambda _place: None,
) -> list[PublishOutcome]:
    """Publish, and wait for the broker's answers at most `seconds`; what it did not answer by then is UNKNOWN.

    `on_confirmed` is told the place of each message at the moment it is confirmed, on the transport's thread.
    """
    told: SimpleQueue[tuple[int, PublishOutcome]] = SimpleQueue()

    def tell(place: int, outcome: PublishOutcome) -> None:
        if outcome is PublishOutcome.CONFIRMED:
            on_confirmed(place)
        told.put((place, outcome))

    for place, message in enumerate(messages):
        transport.publish(message, partial(tell, place))
    outcomes = [PublishOutcome.UNKNOWN] * len(messages)
    deadline = time.monotonic() + seconds
    for _ in messages:
        try:
            place, outcome = told.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        outcomes[place] = outcome
    return outcomes


def taken_in_order(outcomes: Sequence[PublishOutcome]) -> int:
    """How many the broker has of messages whose order matters: those before the first that it did not confirm."""
    return next((n for n, outcome in enumerate(outcomes) if outcome is not PublishOutcome.CONFIRMED), len(outcomes))


def not_taken(queue: str, outcome: PublishOutcome) -> Unavailable:
    """Why the broker did not take a message, for whoever sent it."""
    code, detail = _REFUSED_BY_BROKER[outcome]
    return Unavailable(code, detail.format(queue))
