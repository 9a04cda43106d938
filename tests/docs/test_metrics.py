"""The table of metrics in docs/monitoring.md is what a process exports."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from support.example_service import make_service

from bus.client.client import Client
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.telemetry.metrics import Metrics
from bus.worker.worker import Worker

MONITORING = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(bus_\w+)` \| (\w+) \| (`[^|]+`) \| [^|]+ \|$", re.MULTILINE)

Described = dict[str, tuple[str, frozenset[str]]]


def _documented() -> Described:
    return {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels in ROW.findall(MONITORING)}


def _exported(text: str) -> Described:
    """Each metric as it is served, with its kind and the labels of its samples."""
    found: Described = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        found[name] = (family.type, frozenset(labels - {"le"}))
    return found


def _text_of_all(memory_url: str, database: Database) -> str:
    """What a process shows that is everything at once, and has seen everything."""
    metrics = Metrics()
    Worker(make_service(), transport_for(memory_url, "example"), database, metrics=metrics)
    with Client(memory_url, name="web", metrics=metrics):
        metrics.messages["example.keep", "answered"].inc()
        metrics.queue_seconds["example.keep",].observe(0.001)
        metrics.handler_seconds["example.keep",].observe(0.001)
        metrics.batches["example",].observe(1)
        metrics.dead_letters["example.keep",].inc()
        metrics.in_flight.labels("example").inc()
        metrics.overloads["example", "queue-full"].inc()
        metrics.requests["example", "GET", "/words", "example.keep", "503"].inc()
        metrics.request_seconds["example", "GET", "/words"].observe(0.001)
        return metrics.text().decode()


def test_the_table_is_what_is_exported(memory_url: str, database: Database) -> None:
    exported = _exported(_text_of_all(memory_url, database))
    assert len(exported) > 10
    assert _documented() == exported
