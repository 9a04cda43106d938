"""Redelivery: the copy of a message that goes through a retry queue, or to the quarantine.

Any client can publish a message with any headers. So a copy keeps only known headers, and their values are
bounded when they are read: a forged header affects the forged message, and no other.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import structs

from bus.messaging.call import CALL_DEPTH, MAX_CALL_DEPTH
from bus.messaging.headers import count, moment
from bus.messaging.message import SENT_AT, Message, now_ms
from bus.messaging.topology import Queue
from bus.messaging.trace_context import TRACE_HEADERS

ORIGIN, ATTEMPTS, FIRST_AT, POSTPONED = "origin-queue", "attempts", "first-at", "postponed"

# Who sent it: a token, or in a copy the caller whom a worker has verified (`bus.security.guard`).
AUTHORIZATION, CALLER, CALLER_AUTHENTICATOR = "authorization", "caller", "caller-authenticator"
SEALED_SCHEME = "sealed"

# More than any sensible number of retries.
MAX_ATTEMPTS = 1000
# All headers travel in one frame, and a copy has more of them than its original. A header that nearly fills the frame
# would make the copy too large, and the broker would close the worker's connection. A token has a few kilobytes.
MAX_KEPT_CHARACTERS = 8 * 1024
_KEPT_HEADERS = (AUTHORIZATION, CALLER, CALLER_AUTHENTICATOR, *TRACE_HEADERS)


def later(message: Message, queue: Queue) -> Message:
    """The copy for a retry queue, which returns it to the message's own queue after its delay.

    It counts as sent when the delay ends, so that the delay is not counted as time in the queue.
    """
    sent_at = now_ms() + queue.delay_seconds * 1000
    return _copy(message, attempts_of(message) + 1, sent_at, exchange=queue.name)


def postponed(message: Message, queue: Queue) -> Message:
    """The same for a message that no handler has failed with: what it needs is not to be had yet."""
    copy = _copy(message, attempts_of(message), now_ms() + queue.delay_seconds * 1000, exchange=queue.name)
    return structs.replace(copy, headers={**copy.headers, POSTPONED: postponements_of(message) + 1})


def alone(message: Message, queue: Queue) -> Message:
    """The copy for the quarantine, with its own queue in a header."""
    copy = _copy(message, attempts_of(message), now_ms())
    return structs.replace(copy, queue=queue.name, headers={**copy.headers, ORIGIN: message.queue})


def original(message: Message) -> Message:
    """A message from the quarantine with its own queue restored."""
    origin = message.headers.get(ORIGIN)
    return structs.replace(message, queue=origin) if isinstance(origin, str) else message


def attempts_of(message: Message) -> int:
    """How many times a handler has failed with this message."""
    return count(message.headers.get(ATTEMPTS), MAX_ATTEMPTS) or 0


def postponements_of(message: Message) -> int:
    """How many times a message was postponed since a handler last failed with it."""
    return count(message.headers.get(POSTPONED), MAX_ATTEMPTS) or 0


def depth_of(message: Message) -> int:
    """How many handlers stand before this message, each of which called the next; at most one more than allowed."""
    return count(message.headers.get(CALL_DEPTH), MAX_CALL_DEPTH + 1) or 0


def first_at_of(message: Message) -> datetime:
    """When a message first failed, was first postponed, or a worker first died of it; now, if it never happened."""
    return moment(message.headers.get(FIRST_AT), now := datetime.now(UTC)) or now


def kept_headers(message: Message, names: Iterable[str]) -> dict[str, str]:
    """Those of the named headers that are text of at most 8 KiB."""
    given = {name: message.headers.get(name) for name in names}
    return {
        name: value for name, value in given.items() if isinstance(value, str) and len(value) <= MAX_KEPT_CHARACTERS
    }


def _copy(message: Message, attempts: int, sent_at: int, exchange: str = "") -> Message:
    return structs.replace(
        message,
        exchange=exchange,
        expiration_ms=None,  # an expired query would become a dead letter, and no operator needs to see that
        persistent=True,
        headers={
            **{name: value for name, value in kept_headers(message, _KEPT_HEADERS).items() if _may_rest(name, value)},
            **({CALL_DEPTH: depth_of(message)} if CALL_DEPTH in message.headers else {}),
            ATTEMPTS: attempts,
            SENT_AT: sent_at,
            FIRST_AT: first_at_of(message).isoformat(timespec="milliseconds"),
        },
    )


def _may_rest(name: str, value: str) -> bool:
    """Whether a header may be written to the broker's disk once more: a token only if it is sealed."""
    return name != AUTHORIZATION or value[: len(SEALED_SCHEME) + 1].lower() == f"{SEALED_SCHEME} "
