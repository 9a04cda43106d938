"""Messages: what transports carry, free of any broker library."""

import time
from collections.abc import Mapping

import msgspec
from msgspec import structs

from bus.messaging.headers import now_ms, waited_ms
from bus.messaging.trace_context import TRACE_HEADERS, Trace, begin, continued

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
