"""Spans: the record of one hop of a trace. Imports no exporter."""

import time
from collections.abc import Mapping
from enum import Enum
from typing import Protocol

import msgspec

from bus.messaging.message import Message
from bus.messaging.topology import EVENTS_EXCHANGE, is_events_queue
from bus.messaging.trace_context import Trace

Attributes = Mapping[str, str | int | float]


class Kind(Enum):
    """What a hop does."""

    SERVER = "Answers an HTTP request."
    PRODUCER = "Sends a message."
    CONSUMER = "Handles a message."
    INTERNAL = "A part of another hop."


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A hop that has ended. Times are nanoseconds since 1970; `error` is the kind of failure, empty for none."""

    name: str
    kind: Kind
    trace: Trace
    begun_ns: int
    ended_ns: int
    attributes: Attributes
    error: str = ""


class Spans(Protocol):
    """An exporter of spans. Only `close` blocks."""

    def record(self, span: Span) -> None:
        """Queue a span to be sent, if its trace is sampled. It is dropped when the queue is full."""

    def decided(self, trace: Trace) -> Trace:
        """The same hop, after deciding whether it is sampled."""

    def close(self, seconds: float) -> None:
        """Send the queued spans. Takes at most about `seconds`."""


def wall_ns(monotonic: float) -> int:
    """Convert time.monotonic() seconds to nanoseconds since 1970."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)


def sent(name: str, trace: Trace, begun: float, attributes: Attributes, error: str = "") -> Span:
    """The span of sending a message to an operation, or an event, with this name; `begun` is time.monotonic()."""
    return Span(
        name=f"send {name}",
        kind=Kind.PRODUCER,
        trace=trace,
        begun_ns=wall_ns(begun),
        ended_ns=time.time_ns(),
        attributes={"messaging.operation.type": "send", "messaging.operation.name": "send", **attributes},
        error=error,
    )


def attributes_of(message: Message) -> dict[str, str | int | float]:
    """The attributes that every message has (OpenTelemetry, semantic conventions for RabbitMQ)."""
    is_event = is_events_queue(message.queue)
    routing_key = (message.type or "") if is_event else message.queue
    name = ":".join(filter(None, (message.exchange, message.queue)))
    if is_event:
        name = f"{EVENTS_EXCHANGE}:{routing_key}:{message.queue}"
    attributes: dict[str, str | int | float] = {
        "messaging.destination.name": name,
        "messaging.rabbitmq.destination.routing_key": routing_key,
        "messaging.message.body.size": len(message.body),
    }
    if message.message_id is not None:
        attributes["messaging.message.id"] = message.message_id
    return attributes
