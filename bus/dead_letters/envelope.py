"""The envelope: what a worker publishes to its service's queue of dead letters, with the reason in headers.

Any program with the broker's credentials can publish there too. So a worker adds an authenticator (HMAC, RFC 2104) made
with a key from the service's database, and only what has a valid one is read as a worker's.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
from msgspec import structs

from bus.contract.identity import ANONYMOUS, Caller
from bus.messaging.message import Message
from bus.messaging.redelivery import CALLER, kept_headers
from bus.messaging.topology import dead_letter_queue
from bus.messaging.trace_context import TRACE_HEADERS
from bus.security.vouching import name_of

MAX_DETAIL = 1000  # characters
# The end of a traceback says most. All headers together must fit a frame: 128 KiB, RabbitMQ's default frame_max.
MAX_TRACEBACK_BYTES = 8 * 1024

AUTHENTICATOR = "authenticator"
# The headers of a worker's letter. The broker may add others, which the authenticator does not cover.
_HEADERS = (
    *("letter-id", "origin-queue", "reason", "detail", "attempts", "first-at", "died-at"),
    *("error-class", "traceback", "reply-to", CALLER, *TRACE_HEADERS),
)
_PROPERTIES = ("message_id", "correlation_id", "type", "content_type", "content_encoding")


class Fault(msgspec.Struct, frozen=True):
    """The exception that a handler raised: the name of its class, and the traceback without secrets."""

    error_class: str
    traceback: str


def dead_letter(
    message: Message,
    service: str,
    body: bytes,
    *,
    key: bytes,
    reason: str,
    detail: str,
    fault: Fault | None = None,
    attempts: int = 1,
    first_at: datetime | None = None,
    caller: Caller = ANONYMOUS,
) -> Message:
    """The message to publish to the service's dead letters; `body` is the original without secrets.

    `key` makes the authenticator (`bus.security.service_keys`). `first_at` is when it was first tried; None for now.
    `caller` is the one that was verified. Of the original's headers only those of its trace are copied, as the sender
    may have forged the others.
    """
    died_at = datetime.now(UTC)
    headers: dict[str, object] = {
        "letter-id": uuid4().hex,
        "origin-queue": message.queue,
        "reason": reason,
        "detail": _writable(detail)[:MAX_DETAIL],
        "attempts": attempts,
        "first-at": _iso(first_at or died_at),
        "died-at": _iso(died_at),
    }
    if fault is not None:
        headers |= {"error-class": _writable(fault.error_class), "traceback": _end_of(fault.traceback)}
    if message.reply_to:
        headers["reply-to"] = message.reply_to
    if caller != ANONYMOUS:
        headers[CALLER] = name_of(caller)
    headers |= kept_headers(message, TRACE_HEADERS)
    letter = Message(
        queue=dead_letter_queue(service).name,
        body=body,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        type=message.type,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        persistent=True,
        headers=headers,
    )
    return structs.replace(letter, headers={**headers, AUTHENTICATOR: _authenticator(letter, key)})


def is_authentic(message: Message, key: bytes) -> bool:
    """Whether a worker with this key wrote the letter: its headers of ours, its properties and its body."""
    given = message.headers.get(AUTHENTICATOR)
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "replace"), _authenticator(message, key).encode())


def _authenticator(letter: Message, key: bytes) -> str:
    """In hexadecimal digits."""
    content = [
        *([name, _comparable(letter.headers[name])] for name in _HEADERS if name in letter.headers),
        *(_comparable(getattr(letter, name)) for name in _PROPERTIES),
        hashlib.sha256(letter.body).hexdigest(),
    ]
    return hmac.new(key, msgspec.json.encode(content), hashlib.sha256).hexdigest()


def _comparable(value: object) -> object:
    """Equal before and after the way over the broker, and unequal for different values."""
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return int(value)  # pika reads a 64-bit number as its own subclass of int
    return None if value is None else ["other", type(value).__name__]


def _writable(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def _end_of(traceback: str) -> str:
    return traceback.encode("utf-8", "replace")[-MAX_TRACEBACK_BYTES:].decode("utf-8", "ignore")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
