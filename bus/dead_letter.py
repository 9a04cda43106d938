"""Dead letters: messages set aside for a person, with the reason."""

from datetime import UTC, datetime

from bus.message import Message
from bus.topology import dead_letter_queue

# Properties of the original that are kept; every other header is left behind, forged or not.
_KEPT_HEADERS = ("traceparent",)


def dead_letter(message: Message, service: str, body: bytes, code: str, detail: str) -> Message:
    """The message to publish to the service's dead letters; `body` is the original without secrets."""
    kept = {name: value for name in _KEPT_HEADERS if isinstance(value := message.headers.get(name), str)}
    return Message(
        queue=dead_letter_queue(service).name,
        body=body,
        message_id=message.message_id,
        correlation_id=message.correlation_id,
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        persistent=True,
        headers={
            **kept,
            "origin-queue": message.queue,
            "reason": code,
            "detail": detail[:1000],
            "died-at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        },
    )
