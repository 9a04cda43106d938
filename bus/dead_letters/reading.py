"""Reading: messages off a service's queue of dead letters, without trusting anything in them.

Three kinds arrive: those that a worker published, with the headers of `envelope.py`; those that the broker moved, with
RabbitMQ's own headers; and whatever else was published there directly.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from bus.dead_letters.body import Operations, body_to_keep
from bus.dead_letters.envelope import MAX_DETAIL, MAX_TRACEBACK_BYTES
from bus.dead_letters.store import OriginalProperties, ReceivedDeadLetter
from bus.messaging.headers import count, lines, moment, one_line
from bus.messaging.message import MESSAGE_ID, Delivery, Message
from bus.messaging.topology import is_events_queue
from bus.messaging.trace_context import MAX_STATE, TRACEPARENT, TRACESTATE

MAX_NAME = 255  # characters of a queue's name, a class's or a property (AMQP 0-9-1, section 4.2.5.3)
MAX_ATTEMPTS = 1_000_000
UNKNOWN = "unknown"

_LETTER_ID = re.compile(r"[0-9a-f]{32}")
_REASON = re.compile(r"[a-z0-9-]{1,64}")
# Of the same message, these differ from one delivery to the next.
_COUNTERS = ("x-delivery-count", "x-acquired-count")
# RabbitMQ's reasons: the code that is stored, and a sentence for a person.
_BROKER_REASONS = {
    "delivery_limit": ("delivery-limit", "It was delivered too often without an acknowledgement."),
    "expired": ("expired", "Its expiration passed while it waited in its queue."),
    "rejected": ("rejected", "A consumer rejected it."),
    "maxlen": ("maxlen", "Its queue was longer than allowed."),
}


class _Death(NamedTuple):
    """Why and from where the broker moved a message, by its own headers."""

    queue: str
    reason: str
    detail: str
    times: int | None
    at: datetime | None


def read_dead_letter(delivery: Delivery, operations: Operations, now: datetime) -> ReceivedDeadLetter:
    """The letter in a delivered message. `operations` are the service's; no time of the letter is after `now`."""
    message = delivery.message
    headers, death = message.headers, _death(message.headers, now)
    origin = _origin(headers, death, operations)
    body, whole = body_to_keep(message, origin, operations)
    own_id = headers.get("letter-id")
    has_own_id = death is None and isinstance(own_id, str) and _LETTER_ID.fullmatch(own_id) is not None
    last_at = (death.at if death else moment(headers.get("died-at"), now)) or now
    first_at = moment(headers.get("first-at"), last_at) or last_at
    attempts = count(headers.get("attempts"), MAX_ATTEMPTS)
    if attempts is None:
        attempts = death.times if death and death.times is not None else 1
    return ReceivedDeadLetter(
        letter_id=str(own_id) if has_own_id else _digest(message),
        operation=_operation(origin, message, operations),
        message_id=message.message_id if message.message_id and MESSAGE_ID.fullmatch(message.message_id) else None,
        properties=_properties(message),
        body=body,
        whole=whole,
        origin_queue=origin,
        reason=death.reason if death else _reason(headers.get("reason")),
        detail=death.detail if death else one_line(headers.get("detail"), MAX_DETAIL),
        error_class="" if death else one_line(headers.get("error-class"), MAX_NAME),
        traceback="" if death else lines(headers.get("traceback"), MAX_TRACEBACK_BYTES),
        attempts=attempts,
        first_at=first_at,
        last_at=last_at,
        by_broker=death is not None,
        has_own_id=has_own_id,
        again=delivery.deaths > 0,
    )


def _death(headers: Mapping[str, object], now: datetime) -> _Death | None:
    """The newest entry of `x-death`: only that is surely the broker's, the sender may have written the rest."""
    deaths = headers.get("x-death")
    if deaths is None and "x-first-death-reason" not in headers:
        return None
    newest = deaths[0] if isinstance(deaths, list) and deaths else None
    if not isinstance(newest, dict):
        newest = {"queue": headers.get("x-first-death-queue"), "reason": headers.get("x-first-death-reason")}
    reason, detail = _BROKER_REASONS.get(one_line(newest.get("reason"), MAX_NAME), (UNKNOWN, ""))
    queue = one_line(newest.get("queue"), MAX_NAME)
    return _Death(queue, reason, detail, count(newest.get("count"), MAX_ATTEMPTS), moment(newest.get("time"), now))


def _origin(headers: Mapping[str, object], death: _Death | None, operations: Operations) -> str:
    """The queue that the message was first sent to; our header has it where the broker moved it between queues."""
    named = one_line(headers.get("origin-queue"), MAX_NAME)
    moved_from = death.queue if death else ""
    return moved_from if moved_from in operations or not named else named


def _operation(origin: str, message: Message, operations: Operations) -> str:
    if is_events_queue(origin):
        return one_line(message.type, MAX_NAME)
    return origin if origin in operations else ""


def _reason(value: object) -> str:
    return value if isinstance(value, str) and _REASON.fullmatch(value) else UNKNOWN


def _properties(message: Message) -> OriginalProperties:
    correlation_id, reply_to = message.correlation_id, message.reply_to or message.headers.get("reply-to")
    if isinstance(correlation_id, bytes):
        correlation_id = correlation_id.decode("utf-8", "backslashreplace")
    return OriginalProperties(
        message_id=one_line(message.message_id, MAX_NAME),
        correlation_id=one_line(correlation_id, MAX_NAME),
        content_type=one_line(message.content_type, MAX_NAME),
        content_encoding=one_line(message.content_encoding, MAX_NAME),
        reply_to=one_line(reply_to, MAX_NAME),
        traceparent=one_line(message.headers.get(TRACEPARENT), MAX_NAME),
        tracestate=one_line(message.headers.get(TRACESTATE), MAX_STATE),
    )


def _digest(message: Message) -> str:
    """The same for every delivery of one message."""
    headers = {name: value for name, value in sorted(message.headers.items()) if name not in _COUNTERS}
    content = repr(structs.replace(message, headers=headers))
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:32]
