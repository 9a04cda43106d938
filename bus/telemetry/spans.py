"""Spans: what is told of a hop to whoever collects traces. Knows no exporter."""

import time
from collections.abc import Mapping
from enum import Enum
from importlib.util import find_spec
from typing import Protocol

import msgspec
import structlog

from bus.messaging.message import Message
from bus.messaging.topology import EVENTS_EXCHANGE, is_events_queue
from bus.messaging.trace_context import Trace

# Who sets one of these wants traces; all others of their kind are read where they are (OpenTelemetry, "OTLP Exporter
# Configuration").
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# When a process ends: time for the spans that wait. A collector that is away must not hold it up.
FLUSH_SECONDS = 3.0

log = structlog.get_logger("bus.spans")

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


def spans_from(environment: Mapping[str, str], service: str, broker_url: str) -> Spans | None:
    """Where spans go when the environment names a collector; None, and nothing is imported, when it names none."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off = is_off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if is_off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    if find_spec("opentelemetry") is None:
        log.warning("traces_not_exported", reason="install errand[opentelemetry]")
        return None
    # Only who exports traces pays for what does it.
    from bus.telemetry.otlp import Otlp

    return Otlp(service, "rabbitmq" if broker_url.startswith("amqp") else "memory")


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
