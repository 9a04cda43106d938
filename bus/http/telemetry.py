"""The web witness: tells what became of each HTTP request, to the log, the metrics and the traces. Knows no Flask."""

import time
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog

from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, Trace, continued
from bus.telemetry.metrics import Metrics, WebMetrics
from bus.telemetry.spans import Kind, Span, Spans, wall_ns

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
# What anybody may write in the place of a method, or ask for where there is no route, is one label.
OTHER_METHOD, NO_ROUTE = "_OTHER", "none"
# Whoever asks for these every few seconds would drown the rest.
QUIET = ("/health/live", "/health/ready", "/metrics")
# Where an application finds its visit in the environment of WSGI (PEP 3333).
REQUEST_RECORD = "bus.visit"

log = structlog.get_logger("bus.web")


class RequestRecord:
    """One HTTP request in hand. What is asked, and the code of a problem, are for the application to note."""

    __slots__ = ("begun", "code", "message_id", "operation", "route", "status", "trace")

    def __init__(self, trace: Trace) -> None:
        self.begun = time.monotonic()
        self.trace = trace
        self.operation = self.message_id = self.code = ""
        self.status, self.route = 500, NO_ROUTE  # of what ends without an answer


class RequestTelemetry:
    """Sees the requests of one front end: a layer of WSGI around its application, which costs less than Flask's hooks.

    `spans` is None where nobody collects any.
    """

    def __init__(self, service: str, app: WSGIApplication, metrics: Metrics, spans: Spans | None) -> None:
        self._app, self._metrics, self._spans = app, WebMetrics(metrics, service), spans

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visit = environ[REQUEST_RECORD] = self._arrived(environ.get("HTTP_TRACEPARENT"), environ.get("HTTP_TRACESTATE"))

        def started(status: str, *more: Any) -> Any:  # while Flask has its request still
            visit.status = int(status[:3])
            rule = getattr(environ.get("werkzeug.request"), "url_rule", None)
            visit.route = rule.rule if rule else NO_ROUTE
            return start_response(status, *more)

        try:
            return self._app(environ, started)
        finally:
            self._left(visit, environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))

    def _arrived(self, traceparent: str | None, tracestate: str | None) -> RequestRecord:
        self._metrics.arrived()
        trace = continued({TRACEPARENT: traceparent, TRACESTATE: tracestate})
        return RequestRecord(trace if self._spans is None else self._spans.decided(trace))

    def _left(self, visit: RequestRecord, method: str, path: str) -> None:
        method, route = method if method in METHODS else OTHER_METHOD, visit.route
        seconds, status = time.monotonic() - visit.begun, visit.status
        self._metrics.left(method, route, visit.operation, status, seconds)
        if visit.code:
            self._metrics.refused(visit.code)
        asked = {"operation": visit.operation, "id": visit.message_id} if visit.operation else {}
        ms, trace_id = round(seconds * 1000, 1), visit.trace.trace_id
        tell = log.debug if route in QUIET else log.info
        tell("http", method=method, route=route, status=status, ms=ms, **asked, trace_id=trace_id)
        if self._spans is not None and visit.trace.sampled and route not in QUIET:
            self._spans.record(_span(visit, method, path))


def _span(visit: RequestRecord, method: str, path: str) -> Span:
    """Without the query: it may hold anything (OpenTelemetry, semantic conventions for HTTP servers).

    The route is a pattern, such as `/products/<int:product_id>`.
    """
    attributes: dict[str, str | int | float] = {
        "http.request.method": method,
        "http.response.status_code": visit.status,
        "url.path": path,
        "url.scheme": "http",
    }
    if visit.route != NO_ROUTE:
        attributes["http.route"] = visit.route
    return Span(
        name=method if visit.route == NO_ROUTE else f"{method} {visit.route}",
        kind=Kind.SERVER,
        trace=visit.trace,
        begun_ns=wall_ns(visit.begun),
        ended_ns=time.time_ns(),
        attributes=attributes,
        error=str(visit.status) if visit.status >= 500 else "",
    )
