"""Messages: what transports carry, free of any broker library, and what can be said of one without its contract."""

import re
import time
from collections.abc import Mapping

import msgspec
from msgspec import structs

from bus.contract.problems import Invalid
from bus.messaging.trace_context import TRACE_HEADERS, Trace, begin, continued

# When a message was sent, in milliseconds since 1970. RabbitMQ's own timestamp interceptor sets the same header.
SENT_AT = "timestamp_in_ms"

# As long as a message id is remembered. Whoever forges more than that spoils no average.
MOST_WAITED_MS = 7 * 24 * 60 * 60 * 1000
# The first of January 2020: before the first line of this project, so an older time is a mistake or a forgery.
_OLDEST_MS = 1_577_836_800_000

JSON = "application/json"
PROBLEM = "application/problem+json"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the AMQP properties we use (AMQP 0-9-1, section 4.2.6).

    `queue` is where it goes, or, published through an `exchange`, its routing key. `timestamp` is in seconds
    since 1970.
    """

    queue: str
    body: bytes
    exchange: str = ""
    type: str | None = None
    message_id: str | None = None
    correlation_id: str | bytes | None = None
    reply_to: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    expiration_ms: int | None = None
    timestamp: int | None = None
    persistent: bool = False
    headers: Mapping[str, object] = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a consumer's hands until it is acknowledged.

    `tag` and `session` name it to the transport that delivered it; `deaths` is how often it was in the hands
    of a consumer that was lost, as far as the broker counts it, and at least 1 if it was; `received_at` is
    time.monotonic(). `queued_ms` is how long ago it was sent, where it says so, and `trace` our hop in its trace.
    """

    message: Message
    tag: int
    session: int
    deaths: int
    received_at: float
    queued_ms: int | None = None
    trace: Trace = msgspec.field(default_factory=begin)

    @property
    def traced(self) -> Message:
        """The message as it goes on from here: in its trace, with this hop as the one before."""
        headers = {name: value for name, value in self.message.headers.items() if name not in TRACE_HEADERS}
        return structs.replace(self.message, headers={**headers, **self.trace.headers})


def arrived(message: Message, *, tag: int, session: int, deaths: int) -> Delivery:
    """The message in our hands from now on."""
    return Delivery(
        message=message,
        tag=tag,
        session=session,
        deaths=deaths,
        received_at=time.monotonic(),
        queued_ms=waited_ms(message.headers, message.timestamp, now_ms()),
        trace=continued(message.headers),
    )


MAX_BODY_BYTES = 256 * 1024
# A message id is a key in the database, and a name in a path: visible ASCII (RFC 5234, VCHAR).
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,255}")

_JSON = re.compile(r"application/json\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)


def check_message(message: Message) -> None:
    """What can be said of a message without reading its body. Raises Invalid (400, 413 or 415)."""
    check_body(message.content_type, message.content_encoding, len(message.body), MAX_BODY_BYTES)
    if message.message_id is not None:
        check_message_id(message.message_id)


def check_body(content_type: str | None, content_encoding: str | None, length: int, limit: int) -> None:
    """What can be said of a body without reading it. Raises Invalid (413 or 415)."""
    if length > limit:
        raise Invalid("too-large", 413, "Too large", f"A body may have {limit} bytes.")
    if content_type and not _JSON.fullmatch(content_type):
        raise Invalid("unsupported-media-type", 415, "Unsupported media type", "Send application/json in UTF-8.")
    if content_encoding and content_encoding.lower() not in ("utf-8", "identity"):
        raise Invalid("unsupported-encoding", 415, "Unsupported encoding", "Send the body as it is, not compressed.")


def check_message_id(message_id: str) -> None:
    """Raises Invalid (400)."""
    if not MESSAGE_ID.fullmatch(message_id):
        raise Invalid(
            "invalid-message-id", 400, "Invalid message id", "A message id is 1 to 255 visible ASCII characters."
        )


def is_undecodable(refused: Invalid) -> bool:
    """Whether the message could not even be understood, so that an operator should see it."""
    return refused.problem.status in (400, 413, 415)


def now_ms() -> int:
    """What goes into `timestamp_in_ms`."""
    return time.time_ns() // 1_000_000


def waited_ms(headers: Mapping[str, object], timestamp: object, now: int) -> int | None:
    """How many milliseconds ago a message was sent, as its header says, or else its AMQP timestamp in seconds.

    None when neither is a time after 2020: seconds in the place of milliseconds are none. A time to come is now.
    """
    for value, unit_ms in ((headers.get(SENT_AT), 1), (timestamp, 1000)):
        # pika has a kind of its own for long ones.
        if isinstance(value, int) and not isinstance(value, bool) and value * unit_ms >= _OLDEST_MS:
            return min(max(0, now - value * unit_ms), MOST_WAITED_MS)
    return None
