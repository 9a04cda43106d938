"""Message properties, from our messages to pika's and back."""

import pika

from bus.messaging.message import Message


def properties_of(message: Message) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers) or None,
        delivery_mode=2 if message.persistent else 1,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=None if message.expiration_ms is None else str(message.expiration_ms),
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
    )


def message_of(queue: str, properties: pika.BasicProperties, body: bytes) -> Message:
    expiration = properties.expiration
    return Message(
        queue=queue,
        body=body,
        type=_text(properties.type),
        message_id=_text(properties.message_id),
        correlation_id=properties.correlation_id,
        reply_to=_text(properties.reply_to),
        content_type=_text(properties.content_type),
        content_encoding=_text(properties.content_encoding),
        expiration_ms=int(expiration) if expiration else None,
        timestamp=properties.timestamp,
        persistent=properties.delivery_mode == 2,
        headers=properties.headers or {},
    )


class TolerantProperties(pika.BasicProperties):  # type: ignore[misc]  # pika is half typed
    """pika's properties; header tables that Python cannot represent are left out.

    A time beyond year 9999 and tables nested a thousand deep are legal AMQP. pika would close the connection because of
    them, the broker would deliver the message again, and so one message could stop a service for good.
    """

    def decode(self, encoded: bytes, offset: int = 0) -> pika.BasicProperties:
        try:
            return super().decode(encoded, offset)
        except Exception:  # whatever it is, the message is not worth the connection
            return super().decode(_without_headers(encoded, offset))


def _without_headers(encoded: bytes, offset: int) -> bytes:
    """The same properties with an empty header table (AMQP 0-9-1, section 4.2.6.1)."""
    place = offset + 2
    flags = int.from_bytes(encoded[offset:place], "big")
    for flag in (pika.BasicProperties.FLAG_CONTENT_TYPE, pika.BasicProperties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            place += 1 + encoded[place]
    length = int.from_bytes(encoded[place : place + 4], "big")
    return encoded[offset:place] + bytes(4) + encoded[place + 4 + length :]


def _text(value: str | bytes | None) -> str | None:
    """Text for a property that pika could not decode: as long as the bytes, and with DEL, which no check accepts."""
    return value.decode("ascii", "replace").replace("\ufffd", "\x7f") if isinstance(value, bytes) else value
