"""Copies: messages that carry another one on, to be tried later or alone.

Anyone can publish a message with any headers, so a copy takes only known headers along, and what it says of
itself is read with bounds: whoever forges it can spoil the handling of the forged message, and of no other.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import structs

from bus.messaging.headers import count, moment
from bus.messaging.message import SENT_AT, Message, now_ms
from bus.messaging.topology import Queue
from bus.messaging.trace_context import TRACE_HEADERS

ORIGIN, ATTEMPTS, FIRST_AT = "origin-queue", "attempts", "first-at"

# Beyond any number of retries that makes sense.
MAX_ATTEMPTS = 1000
# Headers travel in one frame, and a copy has more of them than its original: what nearly fills a frame would close
# the connection of whoever copies it. A token has a few kilobytes.
MAX_KEPT_CHARACTERS = 8 * 1024
_KEPT_HEADERS = ("authorization", *TRACE_HEADERS)


def later(message: Message, queue: Queue) -> Message:
    """The copy that comes back to the message's own queue after the pause of a retry queue.

    It counts as sent at the end of the pause, so that the time in its queue is no part of it.
    """
    sent_at = now_ms() + queue.delay_seconds * 1000
    return _copy(message, attempts_of(message) + 1, sent_at, exchange=queue.name)


def alone(message: Message, queue: Queue) -> Message:
    """The copy for the quarantine; it says which queue the message belongs to."""
    copy = _copy(message, attempts_of(message), now_ms())
    return structs.replace(copy, queue=queue.name, headers={**copy.headers, ORIGIN: message.queue})


def original(message: Message) -> Message:
    """A message from the quarantine, as it was in its own queue."""
    origin = message.headers.get(ORIGIN)
    return structs.replace(message, queue=origin) if isinstance(origin, str) else message


def attempts_of(message: Message) -> int:
    """How often a handler has failed with this message already."""
    return count(message.headers.get(ATTEMPTS), MAX_ATTEMPTS) or 0


def first_at_of(message: Message) -> datetime:
    """When a handler first failed with this message, or a worker first died of it; now, if none did."""
    return moment(message.headers.get(FIRST_AT), now := datetime.now(UTC)) or now


def kept_headers(message: Message, names: Iterable[str]) -> dict[str, str]:
    """The headers of these names that are texts of a reasonable length."""
    given = {name: message.headers.get(name) for name in names}
    return {
        name: value for name, value in given.items() if isinstance(value, str) and len(value) <= MAX_KEPT_CHARACTERS
    }


def _copy(message: Message, attempts: int, sent_at: int, exchange: str = "") -> Message:
    return structs.replace(
        message,
        exchange=exchange,
        expiration_ms=None,  # a question that is late is answered to nobody; that it expired is no news for a person
        persistent=True,
        headers={
            **kept_headers(message, _KEPT_HEADERS),
            ATTEMPTS: attempts,
            SENT_AT: sent_at,
            FIRST_AT: first_at_of(message).isoformat(timespec="milliseconds"),
        },
    )
