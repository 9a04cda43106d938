"""OTLP: spans on their way to a collector. The only file that knows OpenTelemetry.

Spans are made when they are over, with ids that are ours, so nothing of OpenTelemetry is on a message's way but a
queue that never waits.
"""

import logging
import threading

from msgspec import structs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from bus.messaging.trace_context import Trace
from bus.telemetry.spans import Kind, Span

_KINDS = {
    Kind.SERVER: SpanKind.SERVER,
    Kind.PRODUCER: SpanKind.PRODUCER,
    Kind.CONSUMER: SpanKind.CONSUMER,
    Kind.INTERNAL: SpanKind.INTERNAL,
}
_MESSAGING = (Kind.PRODUCER, Kind.CONSUMER)
_SCOPE = InstrumentationScope("errand")


class Otlp:
    """See `bus.spans.Spans`. Its settings are OpenTelemetry's own variables, OTEL_SERVICE_NAME among them."""

    def __init__(self, service: str, messaging_system: str) -> None:
        self._messaging_system = messaging_system
        # It reads the variables of sampling and of resources, and makes no spans here.
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        # While a collector is away it would say so of every span that is dropped.
        logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)

    def record(self, span: Span) -> None:
        self._processor.on_end(self._readable(span))

    def decided(self, trace: Trace) -> Trace:
        before = set_span_in_context(NonRecordingSpan(_context(trace, trace.parent_id))) if trace.parent_id else None
        result = self._provider.sampler.should_sample(before, int(trace.trace_id, 16), "message")
        is_sampled = result.decision is Decision.RECORD_AND_SAMPLE
        return trace if is_sampled == trace.sampled else structs.replace(trace, sampled=is_sampled)

    def close(self, seconds: float) -> None:
        closing = threading.Thread(target=self._processor.shutdown, name="otlp-close", daemon=True)
        closing.start()
        closing.join(seconds)

    def _readable(self, span: Span) -> ReadableSpan:
        attributes = dict(span.attributes)
        if span.kind in _MESSAGING:
            attributes["messaging.system"] = self._messaging_system
        if span.error:
            attributes["error.type"] = span.error
        trace = span.trace
        return ReadableSpan(
            name=span.name,
            context=_context(trace, trace.span_id),
            parent=_context(trace, trace.parent_id) if trace.parent_id else None,
            resource=self._provider.resource,
            attributes=attributes,
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.error else StatusCode.UNSET),
            start_time=span.begun_ns,
            end_time=span.ended_ns,
            instrumentation_scope=_SCOPE,
        )


def _resource(service: str) -> Resource:
    """What the variables say of this process; named after its service when they give it no name."""
    told = Resource.create()
    is_named = not str(told.attributes[SERVICE_NAME]).startswith("unknown_service")
    return told if is_named else told.merge(Resource({SERVICE_NAME: service}))


def _context(trace: Trace, span_id: str) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags, trace_state=state)
