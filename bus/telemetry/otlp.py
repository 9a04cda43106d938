"""OTLP: sends spans to a collector. The only file that imports OpenTelemetry.

A span is created when it has ended, with our own ids. So all that handling a message does with OpenTelemetry is to put
the span into a queue, which never blocks.
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
    """An implementation of `bus.telemetry.spans.Spans`. Its settings are the variables of OpenTelemetry (`OTEL_*`)."""

    def __init__(self, service: str, messaging_system: str) -> None:
        self._messaging_system = messaging_system
        # Only for the sampler and the resource, which it reads from the environment. It creates no spans here.
        self._provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        # Without this it logs each span that is dropped while the collector cannot be reached.
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
    """The resource that the environment describes, named after the service unless the environment names it."""
    found = Resource.create()
    is_named = not str(found.attributes[SERVICE_NAME]).startswith("unknown_service")
    return found if is_named else found.merge(Resource({SERVICE_NAME: service}))


def _context(trace: Trace, span_id: str) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.sampled else TraceFlags.DEFAULT)
    state = TraceState.from_header([trace.state]) if trace.state else None
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags, trace_state=state)
