"""Messages: what transports carry, free of any broker library."""

from collections.abc import Mapping

import msgspec

JSON = "application/json"
PROBLEM = "application/problem+json"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message with the AMQP properties we use (AMQP 0-9-1, section 4.2.6); `queue` is where it goes."""

    queue: str
    body: bytes
    message_id: str | None = None
    correlation_id: str | bytes | None = None
    reply_to: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    expiration_ms: int | None = None
    persistent: bool = False
    headers: Mapping[str, object] = {}


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a consumer's hands until it is acknowledged.

    `tag` and `session` name it to the transport that delivered it; `received_at` is
    time.monotonic().
    """

    message: Message
    tag: int
    session: int
    redelivered: bool
    received_at: float
