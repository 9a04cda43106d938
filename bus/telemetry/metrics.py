"""Metrics: what a process counts, in a registry of its own, for Prometheus. The only file that knows its client.

Labels have few values, and none that a message could bring: operations and routes come from contracts.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Told of workers and front ends alike.
CONNECTED = "Whether the broker is connected, with all that is declared and consumed."

# From an answer out of memory to half a minute, which is longer than any caller waits.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MESSAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

# Why a front end takes no more. Other codes of a 503 say that something is away.
OVERLOADS = ("too-many-in-flight", "queue-full", "broker-blocked")

M = TypeVar("M", bound=MetricWrapperBase)
Read = Callable[[], float]


class Metrics:
    """All metrics of one process; several services may share it."""

    def __init__(self) -> None:
        # When each series began: as many series again, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._readings = _Readings()
        self._registry.register(self._readings)
        self.messages = self._counter("messages", "Messages by what became of them.", "operation", "outcome")
        self.queue_seconds = self._histogram("message_queue_seconds", "Time from sending to arrival.", "operation")
        self.handler_seconds = self._histogram(
            "message_handler_seconds", "Time in the handler; of a batch, each message's part.", "operation"
        )
        self.batches = self._histogram("batch_messages", "Messages worked off together.", "service", buckets=MESSAGES)
        self.dead_letters = self._counter("dead_letters", "Dead letters taken into the table.", "operation")
        self.restarts = self._counter("consumer_restarts", "Connections given up as not consuming.", "service")
        self.requests = self._counter(
            "http_requests", "HTTP requests.", "service", "method", "route", "operation", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_seconds", "Time from an HTTP request to its answer.", "service", "method", "route"
        )
        self.in_flight = Gauge(
            "bus_http_requests_in_flight", "HTTP requests in hand.", ["service"], registry=self._registry
        )
        self.overloads = self._counter("http_overloads", "HTTP requests refused as too many.", "service", "code")

    def text(self) -> bytes:
        """All of them as Prometheus reads them; its type is CONTENT_TYPE."""
        return generate_latest(self._registry)

    def gauge(self, name: str, help_: str, label: tuple[str, str], read: Read) -> None:
        """Have a value read whenever somebody looks."""
        self._readings.add(f"bus_{name}", help_, label, read, is_counter=False)

    def counter(self, name: str, help_: str, label: tuple[str, str], read: Read) -> None:
        """The same of something that others count already, and that only grows."""
        self._readings.add(f"bus_{name}", help_, label, read, is_counter=True)

    def _counter(self, name: str, help_: str, *labels: str) -> "Series[Counter]":
        return Series(Counter(f"bus_{name}", help_, labels, registry=self._registry))

    def _histogram(
        self, name: str, help_: str, *labels: str, buckets: tuple[float, ...] = SECONDS
    ) -> "Series[Histogram]":
        return Series(Histogram(f"bus_{name}", help_, labels, registry=self._registry, buckets=buckets))


class Series(dict[tuple[str, ...], M], Generic[M]):
    """A metric by its labels' values. The client's own look-up takes a lock, and three times as long."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> M:
        found = self[labels] = self._metric.labels(*labels)
        return found


class WorkerMetrics:
    """What the worker of one service counts."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._all, self._service = metrics, service

    def message(self, operation: str, outcome: str, queued_ms: int | None, handler_seconds: float | None) -> None:
        """What became of one message."""
        self._all.messages[operation, outcome].inc()
        if queued_ms is not None:
            self._all.queue_seconds[operation,].observe(queued_ms / 1000)
        if handler_seconds is not None:
            self._all.handler_seconds[operation,].observe(handler_seconds)

    def batch(self, size: int) -> None:
        """So many messages are worked off together."""
        self._all.batches[self._service,].observe(size)

    def dead_letter(self, operation: str) -> None:
        """A dead letter was taken into the table."""
        self._all.dead_letters[operation,].inc()

    def restarted(self) -> None:
        """The connection was given up because nothing came over it."""
        self._all.restarts[self._service,].inc()


class WebMetrics:
    """What the front end of one service counts."""

    def __init__(self, metrics: Metrics, service: str) -> None:
        self._all, self._service = metrics, service
        self._in_flight = metrics.in_flight.labels(service)

    def arrived(self) -> None:
        """A request came."""
        self._in_flight.inc()

    def left(self, method: str, route: str, operation: str, status: int, seconds: float) -> None:
        """It was answered."""
        self._in_flight.dec()
        self._all.requests[self._service, method, route, operation, str(status)].inc()
        self._all.request_seconds[self._service, method, route].observe(seconds)

    def refused(self, code: str) -> None:
        """A request was refused with a 503; counted if it was one too many."""
        if code in OVERLOADS:
            self._all.overloads[self._service, code].inc()


class _Readings(Collector):
    """Values that are read when somebody looks."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[bool, str, str, list[tuple[str, Read]]]] = {}

    def add(self, name: str, help_: str, label: tuple[str, str], read: Read, *, is_counter: bool) -> None:
        key, value = label
        self._found.setdefault(name, (is_counter, help_, key, []))[3].append((value, read))

    def collect(self) -> Iterator[Metric]:
        for name, (is_counter, help_, key, readings) in list(self._found.items()):
            kind = CounterMetricFamily if is_counter else GaugeMetricFamily
            family = kind(name, help_, labels=[key])
            for value, read in list(readings):
                family.add_metric([value], read())
            yield family
