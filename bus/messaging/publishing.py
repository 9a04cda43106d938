"""Publishing with confirms: several messages at once, each with the outcome that the broker gave it."""

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
    PublishOutcome.BLOCKED: ("broker-blocked", "The broker is short of memory or disk and takes no requests."),
    PublishOutcome.DISCONNECTED: ("broker-away", "The broker cannot be reached; nothing was sent."),
    PublishOutcome.UNKNOWN: (
        "outcome-unknown",
        "The broker did not confirm {}. Send it again with the same id: it will be carried out once.",
    ),
}

# What is over soon where the other side works: a queue makes room, the broker gets memory.
TEMPORARY = (PublishOutcome.FULL, PublishOutcome.BLOCKED)


def publish_all(
    transport: Transport,
    messages: Sequence[Message],
    seconds: float,
    on_confirmed: Callable[[int], None] = lambda _place: None,
) -> list[PublishOutcome]:
    """Publish the messages and wait at most `seconds`; one that has no outcome by then is UNKNOWN.

    `on_confirmed` is called with the place of each message when it is confirmed, on the transport's thread.
    """
    settled: SimpleQueue[tuple[int, PublishOutcome]] = SimpleQueue()

    def settle(place: int, outcome: PublishOutcome) -> None:
        if outcome is PublishOutcome.CONFIRMED:
            on_confirmed(place)
        settled.put((place, outcome))

    for place, message in enumerate(messages):
        transport.publish(message, partial(settle, place))
    outcomes = [PublishOutcome.UNKNOWN] * len(messages)
    deadline = time.monotonic() + seconds
    for _ in messages:
        try:
            place, outcome = settled.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        outcomes[place] = outcome
    return outcomes


def taken_in_order(outcomes: Sequence[PublishOutcome]) -> int:
    """Of messages whose order matters, how many come before the first that the broker did not confirm."""
    return next((n for n, outcome in enumerate(outcomes) if outcome is not PublishOutcome.CONFIRMED), len(outcomes))


def not_taken(queue: str, outcome: PublishOutcome) -> Unavailable:
    """The error for the sender of a message that the broker did not confirm."""
    code, detail = _REFUSED_BY_BROKER[outcome]
    return Unavailable(code, detail.format(queue))
