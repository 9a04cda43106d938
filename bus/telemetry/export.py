"""Where the spans of a process go: to the collector that the environment names, or nowhere."""

from collections.abc import Mapping
from importlib.util import find_spec

import structlog

from bus.telemetry.spans import Spans

# Who sets one of these wants traces; all others of their kind are read where they are (OpenTelemetry, "OTLP Exporter
# Configuration").
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# When a process ends: time for the spans that wait. A collector that is away must not hold it up.
FLUSH_SECONDS = 3.0

log = structlog.get_logger("bus.spans")


def spans_from(environment: Mapping[str, str], service: str, broker_url: str) -> Spans | None:
    """Where spans go when the environment names a collector; None, and nothing is imported, when it names none."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off = is_off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if is_off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    if find_spec("opentelemetry") is None:
        log.warning("traces_not_exported", reason="install errand-bus[opentelemetry]")
        return None
    # Only who exports traces pays for what does it.
    from bus.telemetry.otlp import Otlp

    return Otlp(service, "rabbitmq" if broker_url.startswith("amqp") else "memory")
