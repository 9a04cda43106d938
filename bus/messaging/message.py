"""Messages as transports carry them, and the checks that need no contract. Free of any broker library."""

import re
import time
from collections.abc import Mapping

import msgspec
from msgspec import structs

from bus.contract.problems import Invalid, ProblemError
from bus.messaging.trace_context import TRACE_HEADERS, Trace, begin, continued

# When a message was sent, in milliseconds since 1970. RabbitMQ's own timestamp interceptor sets the same header.
SENT_AT = "timestamp_in_ms"

# As long as the inbox keeps a message id. A forged value is cut to it, so that it cannot spoil an average.
MOST_WAITED_MS = 7 * 24 * 60 * 60 * 1000
# 1 January 2020, older than this project: an earlier time is a mistake or a forgery.
_OLDEST_MS = 1_577_836_800_000

# The address of the HTTP client that a request comes from, and how long that of an IPv6 client with a zone may be.
CLIENT_ADDRESS, MAX_ADDRESS_CHARACTERS = "client-address", 64

JSON = "application/json"
PROBLEM = "application/problem+json"
# What JSON may be called in a PATCH too (RFC 7396).
MERGE_PATCH = "application/merge-patch+json"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the AMQP properties that we use (AMQP 0-9-1, section 4.2.6).

    `queue` is where it goes; with an `exchange`, it is the routing key. `timestamp` is in seconds since 1970.
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
    """A message that this process has received and not yet acknowledged.

    `tag` and `session` identify it to the transport that delivered it. `deaths`: how many consumers were lost before
    they acknowledged it, as far as the broker counts them (classic queues: at most 1). `received_at` is
    time.monotonic(). `queued_ms`: how long ago it was sent, if it says so. `trace`: this process's hop in its trace.
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
        """The message as this process passes it on: in the same trace, with this hop as the one before."""
        headers = {name: value for name, value in self.message.headers.items() if name not in TRACE_HEADERS}
        return structs.replace(self.message, headers={**headers, **self.trace.headers})


def arrived(message: Message, *, tag: int, session: int, deaths: int) -> Delivery:
    """A delivery that is received now."""
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
# A message id is a key in the database and part of a path: visible ASCII (RFC 5234, VCHAR).
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,255}")

# Longer than any sensible `content_type`.
MAX_TYPE_CHARACTERS = 255


def check_message(message: Message) -> None:
    """Check a message without reading its body. Raises Invalid (400, 413 or 415)."""
    check_body(message.content_type, message.content_encoding, len(message.body), MAX_BODY_BYTES)
    if message.message_id is not None:
        check_message_id(message.message_id)


def check_body(content_type: str | None, content_encoding: str | None, length: int, limit: int) -> None:
    """Check the type, encoding and length of a body. Raises Invalid (413 or 415)."""
    if length > limit:
        raise Invalid("too-large", 413, "Too large", f"A body may have {limit} bytes.")
    if content_type and content_type != JSON and not _is_json(content_type):
        raise Invalid("unsupported-media-type", 415, "Unsupported media type", "Send application/json in UTF-8.")
    if content_encoding and content_encoding.lower() not in ("utf-8", "identity"):
        raise Invalid("unsupported-encoding", 415, "Unsupported encoding", "Send the body as it is, not compressed.")


def _is_json(content_type: str) -> bool:
    """Whether this is JSON in UTF-8. JSON has no parameters, so any but `charset` have no meaning (RFC 8259, 11)."""
    media_type, *parameters = content_type[: MAX_TYPE_CHARACTERS + 1].split(";")
    if len(content_type) > MAX_TYPE_CHARACTERS or media_type.strip(" \t").lower() != JSON:
        return False
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip(" \t").lower() == "charset" and value.strip(' \t"').lower() not in ("utf-8", "utf8"):
            return False
    return True


def check_message_id(message_id: str) -> None:
    """Check a message id. Raises Invalid (400)."""
    if not MESSAGE_ID.fullmatch(message_id):
        detail = "A message id is 1 to 255 visible ASCII characters. Over HTTP it is the one header Idempotency-Key."
        raise Invalid("invalid-message-id", 400, "Invalid message id", detail)


def is_undecodable(refused: ProblemError) -> bool:
    """Whether the message could not be read at all; it becomes a dead letter, for an operator to see."""
    return refused.problem.status in (400, 413, 415)


def now_ms() -> int:
    """The time for the header `timestamp_in_ms`: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def waited_ms(headers: Mapping[str, object], timestamp: object, now: int) -> int | None:
    """How many milliseconds ago a message was sent: by its header, or else by its AMQP timestamp in seconds.

    None when neither is a time after 2020, so also when the header is in seconds by mistake. A time in the future
    gives 0.
    """
    for value, unit_ms in ((headers.get(SENT_AT), 1), (timestamp, 1000)):
        # pika reads a 64-bit number as its own subclass of int.
        if isinstance(value, int) and not isinstance(value, bool) and value * unit_ms >= _OLDEST_MS:
            return min(max(0, now - value * unit_ms), MOST_WAITED_MS)
    return None
