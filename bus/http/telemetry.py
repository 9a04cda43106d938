"""Telemetry of HTTP requests: the outcome of each, for the log, the metrics and the traces. Knows no Flask."""

import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
import structlog

from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, Trace, continued
from bus.telemetry.metrics import Metrics
from bus.telemetry.spans import Kind, Span, Spans, wall_ns

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# Unknown methods share one label, and so do paths without a route: a client could invent any number of them.
OTHER_METHOD, NO_ROUTE = "_OTHER", "none"
# Asked for every few seconds, these would hide the rest of the log.
QUIET = ("/health/live", "/health/ready", "/metrics")
# A caller may send 64 KiB.
PATH_CHARACTERS = 200
_IN_PATHS = "/:@!$&'()*+,;=~"  # what a path may have unescaped (RFC 3986, section 3.3)
# Where a view finds the record of its request in the WSGI environment (PEP 3333).
REQUEST_RECORD = "bus.request_record"

# Of each of these headers, by their names in a WSGI environment. Some parsers of such text take a time that grows with
# the square of its length, and a request may have 96 KiB of headers (`bus.runtime.servers`). We, Flask or werkzeug
# parse these. All may be ignored: preferences (RFC 7240, section 2), conditions that only save a transfer, and ranges
# (RFC 9110, sections 13.1.2 and 14.2), and a trace (W3C Trace Context, section 3.3.1.5). `Content-Type` and
# `Idempotency-Key` may not; they are bounded and refused where they are read.
MAX_CHARACTERS = 1024
OPTIONAL_HEADERS = (
    "HTTP_ACCEPT",
    "HTTP_COOKIE",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_PREFER",
    "HTTP_RANGE",
    "HTTP_TRACEPARENT",
    "HTTP_TRACESTATE",
)

# The codes of a 503 that mean overload. The others mean that something cannot be reached.
OVERLOADS = ("too-many-in-flight", "queue-full", "broker-blocked")

log = structlog.get_logger("bus.web")


class RequestRecord(msgspec.Struct):
    """One HTTP request while it is served. The view notes the operation, the message id, and the code of a problem."""

    trace: Trace
    begun: float = msgspec.field(default_factory=time.monotonic)
    operation: str = ""
    message_id: str = ""
    code: str = ""
    # If the application ends without an answer.
    status: int = 500
    route: str = NO_ROUTE


class RequestTelemetry:
    """WSGI middleware that records the requests of one front end. It costs less than Flask's hooks.

    `spans` is None where none are collected.
    """

    def __init__(self, service: str, app: WSGIApplication, metrics: Metrics, spans: Spans | None) -> None:
        self._service, self._app = service, app
        self._metrics, self._in_flight, self._spans = metrics, metrics.in_flight.labels(service), spans

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._in_flight.inc()
        for name in OPTIONAL_HEADERS:
            if len(environ.get(name, "")) > MAX_CHARACTERS:
                del environ[name]
        trace = continued({TRACEPARENT: environ.get("HTTP_TRACEPARENT"), TRACESTATE: environ.get("HTTP_TRACESTATE")})
        record = RequestRecord(trace if self._spans is None else self._spans.decided(trace))
        environ[REQUEST_RECORD] = record

        def started(
            status: str, headers: list[tuple[str, str]], *more: Any
        ) -> Any:  # while Flask still has its request
            record.status = int(status[:3])
            rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            record.route = rule.rule if rule else NO_ROUTE
            # The id under which the log has this request; and the same with this hop (Trace Context, level 2, 3.4).
            trace = (("X-Request-ID", record.trace.trace_id), ("traceresponse", record.trace.traceparent))
            return start_response(status, [*headers, *trace], *more)

        try:
            return self._app(environ, started)
        finally:
            self._finish(record, environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))

    def _finish(self, record: RequestRecord, method: str, path: str) -> None:
        method, route = method if method in METHODS else OTHER_METHOD, record.route
        seconds, status = time.monotonic() - record.begun, record.status
        self._in_flight.dec()
        self._metrics.requests[self._service, method, route, record.operation, str(status)].inc()
        self._metrics.request_seconds[self._service, method, route].observe(seconds)
        if record.code in OVERLOADS:
            self._metrics.overloads[self._service, record.code].inc()
        asked = {"operation": record.operation, "id": record.message_id} if record.operation else {}
        ms, trace_id = round(seconds * 1000, 1), record.trace.trace_id
        write = log.debug if route in QUIET else log.info
        known = {"service": self._service, "method": method, "route": route}
        if route == NO_ROUTE:
            known["path"] = _shown(path)
        write("http", **known, status=status, ms=ms, **asked, trace_id=trace_id)
        if self._spans is not None and record.trace.sampled and route not in QUIET:
            self._spans.record(_span(record, method, path))


def _shown(path: str) -> str:
    """A path for the log: as it was sent, percent-encoded, but not longer than PATH_CHARACTERS.

    `path` has a character for each byte (PEP 3333).
    """
    if not (path.isascii() and path.isprintable()) or " " in path:
        path = quote(path[:PATH_CHARACTERS].encode("latin-1", "replace"), _IN_PATHS)
    return path if len(path) <= PATH_CHARACTERS else f"{path[:PATH_CHARACTERS]}…"


def _span(record: RequestRecord, method: str, path: str) -> Span:
    """Without the query: it may hold anything (OpenTelemetry, semantic conventions for HTTP servers).

    The route is a pattern, such as `/products/<int:product_id>`.
    """
    attributes: dict[str, str | int | float] = {
        "http.request.method": method,
        "http.response.status_code": record.status,
        "url.path": path,
        "url.scheme": "http",
    }
    if record.route != NO_ROUTE:
        attributes["http.route"] = record.route
    return Span(
        name=method if record.route == NO_ROUTE else f"{method} {record.route}",
        kind=Kind.SERVER,
        trace=record.trace,
        begun_ns=wall_ns(record.begun),
        ended_ns=time.time_ns(),
        attributes=attributes,
        error=str(record.status) if record.status >= 500 else "",
    )
