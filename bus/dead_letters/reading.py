"""Reading: messages off a service's queue of dead letters, without trusting anything in them.

Three kinds arrive: those that a worker of the service published, with a valid authenticator (`envelope.py`); those that
the broker moved, with RabbitMQ's `x-death`; and whatever else was published there directly. Only the first are trusted.
Any program can write `x-death` too, so it decides no more than the same program gets by publishing the message to the
queue that `x-death` names: an operation of this service, or its queue of events. What was published directly is kept
for a person to see, and decides nothing at all: no outcome, no replay.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec import structs

from bus.contract.identity import ANONYMOUS
from bus.contract.operator.dead_letters import OriginalProperties
from bus.dead_letters.body import NOT_KEPT, Operations, body_to_keep
from bus.dead_letters.envelope import MAX_DETAIL, MAX_TRACEBACK_BYTES, is_authentic
from bus.dead_letters.store import ReceivedDeadLetter
from bus.messaging.headers import count, lines, moment, one_line
from bus.messaging.message import MESSAGE_ID, Delivery, Message
from bus.messaging.redelivery import CALLER
from bus.messaging.topology import is_events_queue, service_of_queue
from bus.messaging.trace_context import MAX_STATE, TRACEPARENT, TRACESTATE, read
from bus.security.vouching import name_of, vouched

MAX_NAME = 255  # characters of a queue's name, a class's or a property (AMQP 0-9-1, section 4.2.5.3)
MAX_ATTEMPTS = 1_000_000
UNKNOWN = "unknown"
UNREADABLE = "unreadable"

MAX_CLAIM = 100  # characters of a header that nothing confirms
_CLAIMS = ("origin-queue", "reason", "detail", "error-class", "letter-id")
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


def read_dead_letter(delivery: Delivery, operations: Operations, now: datetime, key: bytes) -> ReceivedDeadLetter:
    """The letter in a delivered message. `operations` are the service's; no time of the letter is after `now`.

    `key` is the one that the service's workers authenticate their letters with.
    """
    message = delivery.message
    headers, service = message.headers, service_of_queue(message.queue)
    if is_authentic(message, key):
        return _from_worker(delivery, operations, now)
    death = _death(headers, now)
    origin = _origin(headers, death, operations, service)
    operation = _operation(origin, message, operations)
    body, whole = body_to_keep(message, origin, operations)
    caller = vouched(structs.replace(message, queue=origin), key) or ANONYMOUS
    last_at = (death.at if death else None) or now
    attempts = count(headers.get("attempts"), MAX_ATTEMPTS) if death else 1
    if attempts is None:
        attempts = death.times if death and death.times is not None else 1
    return ReceivedDeadLetter(
        letter_id=_digest(message),
        operation=operation,
        message_id=_message_id(message) if operation else None,
        properties=structs.replace(_properties(message), caller=name_of(caller)),
        body=body,
        whole=whole,
        origin_queue=origin,
        reason=death.reason if death else UNKNOWN,
        detail=death.detail if death else _claims(headers),
        error_class="",
        traceback="",
        attempts=attempts,
        first_at=(moment(headers.get("first-at"), last_at) if death else None) or last_at,
        last_at=last_at,
        by_broker=death is not None,
        has_own_id=False,
        again=delivery.deaths > 0,
        trace_id=_trace_id(message),
    )


def unreadable(delivery: Delivery, now: datetime) -> ReceivedDeadLetter:
    """The letter for a message that cannot be read or stored as it is, so that it does not stop the others.

    Nothing of the message is kept but a digest: what made it unreadable may be anywhere in it.
    """
    return ReceivedDeadLetter(
        letter_id=hashlib.sha256(delivery.message.body).hexdigest()[:32],
        operation="",
        message_id=None,
        properties=OriginalProperties(),
        body=NOT_KEPT,
        whole=False,
        origin_queue="",
        reason=UNREADABLE,
        detail="A worker could not read or store this message. Its log has the error, as dead_letters_rejected.",
        error_class="",
        traceback="",
        attempts=1,
        first_at=now,
        last_at=now,
        by_broker=False,
        has_own_id=False,
        again=delivery.deaths > 0,
    )


def _from_worker(delivery: Delivery, operations: Operations, now: datetime) -> ReceivedDeadLetter:
    """The letter that a worker of this service wrote. It is cleaned all the same: its sender chose parts of it."""
    message = delivery.message
    headers = message.headers
    origin = one_line(headers.get("origin-queue"), MAX_NAME)
    body, whole = body_to_keep(message, origin, operations)
    last_at = moment(headers.get("died-at"), now) or now
    return ReceivedDeadLetter(
        letter_id=str(headers["letter-id"]),
        operation=_operation(origin, message, operations),
        message_id=_message_id(message),
        properties=structs.replace(_properties(message), caller=str(headers.get(CALLER, ""))),
        body=body,
        whole=whole,
        origin_queue=origin,
        reason=_reason(headers.get("reason")),
        detail=one_line(headers.get("detail"), MAX_DETAIL),
        error_class=one_line(headers.get("error-class"), MAX_NAME),
        traceback=lines(headers.get("traceback"), MAX_TRACEBACK_BYTES),
        attempts=count(headers.get("attempts"), MAX_ATTEMPTS) or 1,
        first_at=moment(headers.get("first-at"), last_at) or last_at,
        last_at=last_at,
        by_broker=False,
        has_own_id=True,
        again=delivery.deaths > 0,
        trace_id=_trace_id(message),
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


def _origin(headers: Mapping[str, object], death: _Death | None, operations: Operations, service: str) -> str:
    """The queue of this service that the message was first sent to; "" where it is not known.

    Our header names it where the broker moved it from the quarantine. Only what was in the service's own queue of
    events is an event.
    """
    if death is None or service_of_queue(death.queue) != service:
        return ""
    if death.queue in operations or is_events_queue(death.queue):
        return death.queue if not is_events_queue(death.queue) or death.queue == f"{service}.events" else ""
    named = one_line(headers.get("origin-queue"), MAX_NAME)
    return named if named in operations else death.queue


def _operation(origin: str, message: Message, operations: Operations) -> str:
    if is_events_queue(origin):
        return one_line(message.type, MAX_NAME)
    return origin if origin in operations else ""


def _message_id(message: Message) -> str | None:
    return message.message_id if message.message_id and MESSAGE_ID.fullmatch(message.message_id) else None


def _claims(headers: Mapping[str, object]) -> str:
    """What a program that published to the dead letters directly says of the message, as a sentence."""
    claimed = (f"{name}={one_line(headers[name], MAX_CLAIM)}" for name in _CLAIMS if name in headers)
    return one_line(f"A program published it to the dead letters directly. {_said(', '.join(claimed))}", MAX_DETAIL)


def _said(claims: str) -> str:
    return f"Its headers claim, and nothing confirms: {claims}" if claims else "It says nothing of its origin."


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


def _trace_id(message: Message) -> str | None:
    trace = read(message.headers.get(TRACEPARENT))
    return None if trace is None else trace.trace_id


def _digest(message: Message) -> str:
    """The same for every delivery of one message."""
    # A header's name that is not UTF-8 comes as bytes, which cannot be compared with text.
    named = sorted(message.headers.items(), key=lambda header: repr(header[0]))
    headers = {name: value for name, value in named if name not in _COUNTERS}
    content = repr(structs.replace(message, headers=headers))
    return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:32]
