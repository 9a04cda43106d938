"""Metrics of a process for Prometheus, in a registry of its own. The only file that imports the Prometheus client.

Values of labels come from contracts, such as operations and routes, and never from a message, so they are few.
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

# The help text of a gauge that both workers and front ends have.
CONNECTED = "1 while the broker is connected, all queues are declared and all consumers are running."

# From an answer out of memory to 30 s, which is longer than any caller waits.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MESSAGES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)

M = TypeVar("M", bound=MetricWrapperBase)
Read = Callable[[], float]


class Metrics:
    """All metrics of one process; several services may share it."""

    def __init__(self) -> None:
        # The client would add a series with the time of creation for each series.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._readings = _Readings()
        self._registry.register(self._readings)
        self.messages = self._counter("messages", "Messages by their outcome.", "operation", "outcome")
        self.queue_seconds = self._histogram("message_queue_seconds", "Time from sending to arrival.", "operation")
        self.handler_seconds = self._histogram(
            "message_handler_seconds", "Time in the handler. For a batch, the share of each message.", "operation"
        )
        self.batches = self._histogram("batch_messages", "Messages handled together.", "service", buckets=MESSAGES)
        self.dead_letters = self._counter("dead_letters", "Dead letters stored in the table.", "operation")
        self.restarts = self._counter("consumer_restarts", "Connections closed as no messages came.", "service")
        self.requests = self._counter(
            "http_requests", "HTTP requests.", "service", "method", "route", "operation", "status"
        )
        self.request_seconds = self._histogram(
            "http_request_seconds", "Time from an HTTP request to its answer.", "service", "method", "route"
        )
        self.in_flight = Gauge(
            "bus_http_requests_in_flight", "HTTP requests being answered.", ["service"], registry=self._registry
        )
        self.overloads = self._counter("http_overloads", "HTTP requests refused for overload.", "service", "code")

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus, whose media type is CONTENT_TYPE."""
        return generate_latest(self._registry)

    def gauge(self, name: str, help_: str, label: tuple[str, str], read: Read) -> None:
        """Add a gauge whose value is read at each scrape."""
        self._readings.add(f"bus_{name}", help_, label, read, is_counter=False)

    def counter(self, name: str, help_: str, label: tuple[str, str], read: Read) -> None:
        """Add a counter whose value is read at each scrape. It must never decrease."""
        self._readings.add(f"bus_{name}", help_, label, read, is_counter=True)

    def _counter(self, name: str, help_: str, *labels: str) -> "Series[Counter]":
        return Series(Counter(f"bus_{name}", help_, labels, registry=self._registry))

    def _histogram(
        self, name: str, help_: str, *labels: str, buckets: tuple[float, ...] = SECONDS
    ) -> "Series[Histogram]":
        return Series(Histogram(f"bus_{name}", help_, labels, registry=self._registry, buckets=buckets))


class Series(dict[tuple[str, ...], M], Generic[M]):
    """A metric by the values of its labels. The client's own look-up takes a lock, and three times as long."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self._metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> M:
        found = self[labels] = self._metric.labels(*labels)
        return found


class _Readings(Collector):
    """The gauges and counters whose values are read at each scrape."""

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
