"""Outcomes: one line in the log for each message, and the same in the metrics, on a real broker."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from support.example_service import create_tables, make_service
from support.plain_publisher import PlainPublisher

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits
from bus.runtime.monitor import Monitor
from bus.telemetry.metrics import Metrics
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

START_SECONDS = 60.0
WAIT_SECONDS = 60.0
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01"}


class System:
    """A worker of the example with metrics, and a publisher."""

    def __init__(self, url: str, folder: Path) -> None:
        database = Database(f"sqlite:///{folder}/example.db")
        migrate(database, "catalog.migrations")
        create_tables(database)
        self.metrics = Metrics()
        transport = transport_for(url, "example")
        self.worker = Worker(make_service(), transport, database, Limits(retry_seconds=(1,)), metrics=self.metrics)
        self.worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def shown(self, name: str, **labels: str) -> float:
        """A metric's value, 0 while there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in self.metrics.text().decode().splitlines():
            found, _, value = line.rpartition(" ")
            if found.partition("{")[0] == name and wanted <= {*found.partition("{")[2][:-1].split(",")}:
                return float(value)
        return 0.0

    def wait_until_shown(self, value: float, name: str, **labels: str) -> None:
        """Until a metric has this value: what is counted is counted after it is told, and told after it is answered."""
        wait_until(lambda: self.shown(name, **labels) == value, WAIT_SECONDS, f"{name} is {value}")


@pytest.fixture
def system(broker_url: str, tmp_path: Path) -> Iterator[System]:
    system = System(broker_url, tmp_path)
    yield system
    system.worker.stop(WAIT_SECONDS)


@pytest.fixture
def publisher(broker_url: str, system: System) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


def _lines(logs: list[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == event]


def test_an_answered_message_is_one_line_with_all_that_is_known(system: System, publisher: PlainPublisher) -> None:
    sent_at = int(time.time() * 1000) - 60_000
    with capture_logs() as logs:
        reply = publisher.ask(
            "example.keep", {"word": "secret words"}, message_id="m-1", headers={"timestamp_in_ms": sent_at, **TRACED}
        )
        system.wait_until_shown(1, "bus_message_handler_seconds_count", operation="example.keep")
    [line] = _lines(logs, "answered")
    assert {name: line[name] for name in ("operation", "id", "caller", "attempt", "status", "trace_id")} == {
        "operation": "example.keep",
        "id": "m-1",
        "caller": "anonymous",
        "attempt": 1,
        "status": 201,
        "trace_id": TRACE_ID,
    }
    assert 60_000 <= line["queued_ms"] < 120_000
    assert 0 <= line["handler_ms"] <= line["ms"] < 60_000
    assert "secret words" not in json.dumps(logs)
    version, trace_id, span_id, flags = reply.properties.headers["traceparent"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
    assert span_id != SPAN_ID
    assert system.shown("bus_messages_total", operation="example.keep", outcome="answered") == 1
    assert 60 <= system.shown("bus_message_queue_seconds_sum", operation="example.keep") < 120


def test_without_a_time_of_sending_and_a_trace_one_is_absent_and_one_begins(
    system: System, publisher: PlainPublisher
) -> None:
    with capture_logs() as logs:
        reply = publisher.ask("example.keep", {"word": "a"})
        system.wait_until_shown(1, "bus_message_handler_seconds_count", operation="example.keep")
    [line] = _lines(logs, "answered")
    assert "queued_ms" not in line
    assert reply.properties.headers["traceparent"].split("-")[1] == line["trace_id"]
    assert system.shown("bus_message_queue_seconds_count", operation="example.keep") == 0


def test_a_refusal_of_any_kind_counts_as_one(system: System, publisher: PlainPublisher) -> None:
    with capture_logs() as logs:
        assert publisher.ask("example.keep", {"word": "refuse me"}).status == 409
        assert publisher.ask("example.keep", {"word": 7}, headers=TRACED).status == 422
        system.wait_until_shown(2, "bus_messages_total", operation="example.keep", outcome="refused")
    assert (_lines(logs, "answered")[0]["status"], _lines(logs, "refused")[0]["status"]) == (409, 422)
    assert _lines(logs, "refused")[0]["trace_id"] == TRACE_ID


def test_each_attempt_is_told_in_one_trace_and_ends_as_a_dead_letter(system: System, publisher: PlainPublisher) -> None:
    begun = time.time()
    with capture_logs() as logs:
        assert publisher.ask("example.keep", {"word": "break"}, message_id="b", headers=TRACED).status == 500
        system.wait_until_shown(1, "bus_messages_total", operation="example.keep", outcome="dead_lettered")
        system.wait_until_shown(1, "bus_dead_letters_total", operation="example.keep")
    since_begun_ms = (time.time() - begun) * 1000
    told = [line for line in logs if line["event"] in ("retried", "dead_lettered")]
    assert [(line["event"], line["attempt"]) for line in told] == [("retried", 1), ("dead_lettered", 2)]
    assert told[1]["queued_ms"] <= since_begun_ms - 1000 + 1, "the pause is no time in the queue"  # rounded to 1 ms
    assert len(_lines(logs, "dead_letter")) == 1
    assert {line["trace_id"] for line in logs if "trace_id" in line} == {TRACE_ID}


def test_a_question_that_nobody_waits_for_any_more_is_told_as_late(system: System, publisher: PlainPublisher) -> None:
    with capture_logs() as logs:
        publisher.send("example.count", {"word": "a"}, expiration="0")
        system.wait_until_shown(1, "bus_messages_total", operation="example.count", outcome="expired")
    assert len(_lines(logs, "expired")) == 1


def test_names_of_operations_come_from_contracts_alone(system: System, publisher: PlainPublisher) -> None:
    for name in ("example.dead", "example.quarantine"):
        publisher.send(name, {"a": 1}, headers={"origin-queue": "forged.name", "reason": "forged"}, type="forged.name")
    system.wait_until_shown(2, "bus_dead_letters_total", operation="unknown")
    assert b"forged" not in system.metrics.text()


def test_a_port_of_its_own_serves_metrics_and_health(system: System) -> None:
    monitor = Monitor(
        "example",
        "127.0.0.1",
        0,
        system.metrics,
        lambda: system.worker.why_not_live,
        lambda: system.worker.why_not_ready,
    )
    try:
        address = f"http://127.0.0.1:{monitor.port}"
        with urllib.request.urlopen(f"{address}/metrics", timeout=WAIT_SECONDS) as response:
            assert response.headers["Content-Type"].startswith("text/plain; version=")
            assert b'bus_broker_connected{connection="example-worker"} 1.0' in response.read()
        for path in ("live", "ready"):
            with urllib.request.urlopen(f"{address}/health/{path}", timeout=WAIT_SECONDS) as response:
                assert json.load(response) == {"service": "example", "status": path}
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{address}/other", timeout=WAIT_SECONDS)
        system.worker.stop(WAIT_SECONDS)
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{address}/health/ready", timeout=WAIT_SECONDS)
    finally:
        monitor.close()
