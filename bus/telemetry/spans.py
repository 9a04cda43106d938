"""Spans: what is told of a hop to whoever collects traces. Knows no exporter."""

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
    """What a hop is to the one before it."""

    SERVER = "It answers a request over HTTP."
    PRODUCER = "It sends a message."
    CONSUMER = "It works a message off."
    INTERNAL = "It is a part of the hop."


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A hop that is over. Times are nanoseconds since 1970; `error` is the kind of failure, empty for none."""

    name: str
    kind: Kind
    trace: Trace
    begun_ns: int
    ended_ns: int
    attributes: Attributes
    error: str = ""


class Spans(Protocol):
    """Where spans go. No method but `close` waits for anything."""

    def record(self, span: Span) -> None:
        """Tell of a span, if its trace is sampled; it is dropped where too many wait to be sent."""

    def decided(self, trace: Trace) -> Trace:
        """The same hop, with the decision whether it is sampled."""

    def close(self, seconds: float) -> None:
        """Send what waits; takes at most about `seconds`."""


def wall_ns(monotonic: float) -> int:
    """The time since 1970 of a moment of time.monotonic()."""
    return time.time_ns() - int((time.monotonic() - monotonic) * 1e9)


def sent(name: str, trace: Trace, begun: float, attributes: Attributes, error: str = "") -> Span:
    """A message was sent to this operation, or under the name of this event; `begun` is time.monotonic()."""
    said = {"messaging.operation.type": "send", "messaging.operation.name": "send", **attributes}
    return Span(
        name=f"send {name}",
        kind=Kind.PRODUCER,
        trace=trace,
        begun_ns=wall_ns(begun),
        ended_ns=time.time_ns(),
        attributes=said,
        error=error,
    )


def attributes_of(message: Message) -> dict[str, str | int | float]:
    """What is said of every message (OpenTelemetry, semantic conventions for RabbitMQ)."""
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
