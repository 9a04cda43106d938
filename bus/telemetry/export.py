"""Export of spans: to the collector that the environment names, or nowhere."""

from collections.abc import Mapping
from importlib.util import find_spec

import structlog

from bus.telemetry.spans import Spans

# Setting one of these turns traces on. OpenTelemetry itself reads all other variables ("OTLP Exporter Configuration").
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

# How long a process that ends waits for its last spans to be sent, also when the collector cannot be reached.
FLUSH_SECONDS = 3.0

log = structlog.get_logger("bus.spans")


def spans_from(environment: Mapping[str, str], service: str, broker_url: str) -> Spans | None:
    """The exporter, if the environment names a collector. If not: None, and OpenTelemetry is not imported."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    is_off = is_off or environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp"
    if is_off or not any(environment.get(name) for name in ENDPOINTS):
        return None
    if find_spec("opentelemetry") is None:
        log.warning("traces_not_exported", reason="install errand-bus[opentelemetry]")
        return None
    # Imported here, because it is slow and most processes export no traces.
    from bus.telemetry.otlp import Otlp

    return Otlp(service, "rabbitmq" if broker_url.startswith("amqp") else "memory")
