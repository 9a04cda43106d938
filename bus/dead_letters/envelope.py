"""The envelope: what a worker publishes to its service's queue of dead letters, with the reason in headers."""

from datetime import UTC, datetime
from uuid import uuid4

import msgspec

from bus.messaging.message import Message
from bus.messaging.redelivery import kept_headers
from bus.messaging.topology import dead_letter_queue
from bus.messaging.trace_context import TRACE_HEADERS

MAX_DETAIL = 1000  # characters
# The end of a traceback says most. All headers together must fit a frame: 128 KiB, RabbitMQ's default frame_max.
MAX_TRACEBACK_BYTES = 8 * 1024


class Fault(msgspec.Struct, frozen=True):
    """The exception that a handler raised: the name of its class, and the traceback without secrets."""

    error_class: str
    traceback: str


def dead_letter(
    message: Message,
    service: str,
    body: bytes,
    *,
    reason: str,
    detail: str,
    fault: Fault | None = None,
    attempts: int = 1,
    first_at: datetime | None = None,
) -> Message:
    """The message to publish to the service's dead letters; `body` is the original without secrets.

    `first_at` is when it was first tried; None for now. Of the original's headers only those of its trace are copied,
    as the sender may have forged the others.
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
    headers |= kept_headers(message, TRACE_HEADERS)
    return Message(
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


def _writable(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def _end_of(traceback: str) -> str:
    return traceback.encode("utf-8", "replace")[-MAX_TRACEBACK_BYTES:].decode("utf-8", "ignore")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
