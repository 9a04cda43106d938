"""Traces: from a request over HTTP through command, reply and event, in headers and at a collector."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from support.example_service import Keep
from support.long_timeouts import use_long_timeouts
from support.otlp_collector import Collector, collecting
from support.plain_publisher import PlainPublisher

from bus.client.client import Client
from bus.contract.events import Event
from bus.contract.operations import Command, Reply
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.service.service import Service
from bus.service.work import Work
from bus.telemetry.export import spans_from
from bus.telemetry.metrics import Metrics
from bus.telemetry.spans import Spans
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct, ProductChanged
from catalog.handlers import catalog
from catalog.web import create_app

START_SECONDS = 60.0
WAIT_SECONDS = 30.0
# For what is flushed already, or goes nowhere.
CLOSE_SECONDS = 0.2
# An export to a collector that answers nothing takes so long; fifty requests and three ends wait for none of them.
EXPORT_SECONDS = 120
SOON_SECONDS = 60.0
# Between two exports, in milliseconds.
EXPORT_MS = "100"
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE_ID}-{SPAN_ID}-01", "tracestate": "congo=t61rcWkgMzE"}
LAMP = {"name": "Lamp of a secret kind", "price": 9.9, "quantity": 3}
INTERNAL, SERVER, PRODUCER, CONSUMER = 1, 2, 4, 5


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


class Heard(Event, name="hearer.heard"):
    """It was heard."""

    version: int


class Repeated(Reply):
    """The answer to `Repeat`."""


class Repeat(Command[Repeated], name="hearer.repeat"):
    """Call another service from inside a handler."""


def make_hearer(client: Client | None = None) -> Service:
    service = Service("hearer")

    @service.on(ProductChanged)
    def hear(event: ProductChanged, work: Work) -> None:
        work.emit(Heard(version=event.version))

    @service.handles(Repeat)
    def repeat(command: Repeat, work: Work) -> Repeated:
        assert client is not None
        client.call(CreateProduct(name="Chair", price=Decimal(1), quantity=1), timeout=WAIT_SECONDS)
        return Repeated()

    return service


class System:
    """The catalog with a front end, and a service that listens to it and tells in turn."""

    def __init__(self, url: str, folder: Path, environment: dict[str, str], closing: ExitStack) -> None:
        self.url, self.folder, self._closing, self._environment = url, folder, closing, environment
        self.spans: list[Spans] = []
        self.client = Client(url, name="catalog-web", metrics=Metrics(), spans=self.collected("catalog-web"))
        closing.callback(self.client.close)
        self.start(catalog, "catalog.migrations")
        self.start(make_hearer(self.client), "auth.migrations")
        self.http: FlaskClient = create_app(self.client).test_client()
        # A ping that a busy machine answers late is a no.
        wait_until(lambda: self.http.get("/health/ready").status_code == 200, START_SECONDS, "the catalog answers")

    def start(self, service: Service, migrations: str) -> None:
        database = Database(f"sqlite:///{self.folder}/{service.name}.db")
        self._closing.callback(database.close)
        migrate(database, migrations)
        transport = transport_for(self.url, service.name)
        worker = Worker(service, transport, database, spans=self.collected(f"{service.name}-worker"))
        worker.start()
        self._closing.callback(worker.stop, WAIT_SECONDS)
        assert transport.wait_until_ready(START_SECONDS)

    def flush(self) -> None:
        for spans in self.spans:
            spans.close(WAIT_SECONDS)

    def collected(self, name: str) -> Spans | None:
        spans = spans_from(self._environment, name, self.url)
        if spans is not None:
            self.spans.append(spans)
            self._closing.callback(spans.close, CLOSE_SECONDS)
        return spans


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


Start = Callable[..., System]


@pytest.fixture
def start(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with ExitStack() as closing:

        def start(**environment: str) -> System:
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            return System(broker_url, tmp_path, environment, closing)

        yield start


def _lines(logs: list[Any], event: str, **facts: str) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == event and facts.items() <= line.items()]


def _answered(logs: list[Any], operation: str = "catalog.create_product") -> list[dict[str, Any]]:
    return _lines(logs, "answered", operation=operation)


def _trace_ids(logs: list[Any]) -> set[str]:
    """Those of all but the pings that a client sends first."""
    told = (line for line in logs if line["event"] in ("http", "answered", "handled"))
    return {line["trace_id"] for line in told if not line.get("operation", "").endswith(".ping")}


def _create(system: System, **headers: str) -> list[dict[str, Any]]:
    """Create a product over HTTP; returns the log up to when it was answered and heard of."""
    with capture_logs() as logs:
        assert system.http.post("/products?", json=LAMP, headers=headers).status_code == 201
        wait_until(lambda: bool(_lines(logs, "handled")), WAIT_SECONDS, "it is heard")
        wait_until(lambda: bool(_answered(logs)), WAIT_SECONDS, "the worker tells after it has replied")
    return list(logs)


def test_without_a_collector_a_trace_goes_from_http_through_command_and_event_all_the_same(start: Start) -> None:
    logs = _create(start(), **TRACED)
    assert _trace_ids(logs) == {TRACE_ID}
    [line] = _lines(logs, "http")
    assert (line["method"], line["route"], line["status"]) == ("POST", "/products", 201)
    [answered] = _answered(logs)
    assert (line["operation"], line["id"]) == ("catalog.create_product", answered["id"])
    assert "secret kind" not in str(logs)


def test_a_broken_header_begins_a_new_trace_and_every_response_names_its_own(start: Start) -> None:
    system = start()
    logs = _create(system, traceparent=TRACED["traceparent"].upper())
    [trace_id] = _trace_ids(logs)
    assert trace_id.lower() != TRACE_ID
    response = system.http.get("/products/1", headers=TRACED)
    assert not {name.lower() for name, _ in response.headers} & {"traceparent", "tracestate"}
    assert response.headers["X-Request-ID"] == TRACE_ID
    assert response.headers["traceresponse"].startswith(f"00-{TRACE_ID}-")
    problem = system.http.get("/products/1000000", headers=TRACED)
    assert problem.get_json(force=True)["trace_id"] == TRACE_ID


def test_each_hop_of_a_message_names_the_one_before(start: Start) -> None:
    system = start()
    publisher = PlainPublisher(system.url)
    events = publisher.channel.queue_declare("", exclusive=True).method.queue
    publisher.channel.queue_bind(events, "bus.events", "#")
    reply = publisher.ask("catalog.create_product", LAMP, headers=TRACED)
    told: dict[str, pika.BasicProperties] = {}

    def all_came() -> bool:
        if taken := publisher.take(events):
            told[taken[0].type] = taken[0]
        return len(told) == 2

    wait_until(all_came, WAIT_SECONDS, "both events")
    publisher.close()
    carried = [reply.properties, told["catalog.product_changed"], told["hearer.heard"]]
    hops = [each.headers["traceparent"].split("-") for each in carried]
    assert {hop[1] for hop in hops} == {TRACE_ID}
    assert len({SPAN_ID, *(hop[2] for hop in hops)}) == 4
    assert [each.headers.get("tracestate") for each in carried[1:]] == [TRACED["tracestate"]] * 2
    assert all(isinstance(each.headers["timestamp_in_ms"], int) for each in carried[1:])


def test_a_call_from_inside_a_handler_belongs_to_its_trace(start: Start) -> None:
    system = start()
    publisher = PlainPublisher(system.url)
    with capture_logs() as logs:
        assert publisher.ask("hearer.repeat", {}, headers=TRACED).status == 200
        wait_until(lambda: bool(_answered(logs, "hearer.repeat")), WAIT_SECONDS, "a line")
        wait_until(lambda: bool(_answered(logs)), WAIT_SECONDS, "the line of the call inside")
    publisher.close()
    [inner] = _answered(logs)
    assert inner["trace_id"] == TRACE_ID


def test_a_collector_gets_one_connected_trace(start: Start, collector: Collector) -> None:
    system = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY=EXPORT_MS)
    _create(system, **TRACED)
    tree = {
        "POST /products": (SERVER, "catalog-web", None),
        "send catalog.create_product": (PRODUCER, "catalog-web", "POST /products"),
        "process catalog.create_product": (CONSUMER, "catalog-worker", "send catalog.create_product"),
        "handle catalog.create_product": (INTERNAL, "catalog-worker", "process catalog.create_product"),
        "send catalog.product_changed": (PRODUCER, "catalog-worker", "process catalog.create_product"),
        "process hearer.events": (CONSUMER, "hearer-worker", "send catalog.product_changed"),
        "handle catalog.product_changed": (INTERNAL, "hearer-worker", "process hearer.events"),
        "send hearer.heard": (PRODUCER, "hearer-worker", "process hearer.events"),
    }
    _wait_for(collector, *tree)
    system.flush()
    ours = [span for span in collector.spans if span.trace_id == TRACE_ID]
    assert sorted(span.name for span in ours) == sorted(tree)
    for name, (kind, service, parent) in tree.items():
        span = collector.named(name)
        parent_id = SPAN_ID if parent is None else collector.named(parent).span_id
        assert (span.kind, span.service, span.parent_id) == (kind, service, parent_id), name
        assert span.state == TRACED["tracestate"]
        assert span.begun_ns <= span.ended_ns <= time.time_ns()
        assert not span.is_error
    _check_attributes(collector)
    assert "secret kind" not in str(collector.spans)


def _check_attributes(collector: Collector) -> None:
    http = collector.named("POST /products").attributes
    assert (http["http.request.method"], http["http.route"]) == ("POST", "/products")
    assert http["http.response.status_code"] == 201
    for name, destination, kind in (
        ("send catalog.create_product", "catalog.create_product", "send"),
        ("process catalog.create_product", "catalog.create_product", "process"),
        ("send catalog.product_changed", "bus.events:catalog.product_changed", "send"),
        ("process hearer.events", "bus.events:catalog.product_changed:hearer.events", "process"),
    ):
        said = collector.named(name).attributes
        assert (said["messaging.system"], said["messaging.destination.name"]) == ("rabbitmq", destination)
        assert said["messaging.operation.type"] == kind
        assert said["messaging.message.id"]
    assert collector.named("handle catalog.create_product").attributes["messaging.batch.message_count"] == 1


def _wait_for(collector: Collector, *names: str) -> None:
    """A worker records its spans after it has replied and sent."""
    wait_until(lambda: set(names) <= {span.name for span in collector.spans}, WAIT_SECONDS, f"spans: {names}")


def test_what_fails_is_told_as_an_error_and_a_refusal_is_none(
    start: Start, collector: Collector, memory_url: str
) -> None:
    system = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY=EXPORT_MS)
    assert system.http.get("/products/999").status_code == 404
    client = Client(memory_url, spans=system.collected("nobody"))
    with pytest.raises(Exception, match="no queue"):
        client.send(Keep(word="a"))
    client.close()
    _wait_for(collector, "GET /products/<int:product_id>", "process catalog.get_product", "send example.keep")
    system.flush()
    assert not collector.named("GET /products/<int:product_id>").is_error
    assert not collector.named("process catalog.get_product").is_error
    failed = collector.named("send example.keep")
    assert (failed.is_error, failed.attributes["error.type"]) == (True, "no-such-queue")


def test_a_trace_that_is_not_sampled_is_not_exported_and_says_so_to_all_after_it(
    start: Start, collector: Collector
) -> None:
    system = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    _create(system, **TRACED)
    system.flush()
    assert collector.spans == []


@pytest.mark.parametrize("is_silent", [False, True], ids=["away", "silent"])
def test_a_collector_that_does_not_answer_holds_nothing_up(start: Start, is_silent: bool) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if is_silent:
            listener.listen()
        system = start(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{listener.getsockname()[1]}",
            OTEL_BSP_MAX_QUEUE_SIZE="8",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="8",
            OTEL_EXPORTER_OTLP_TIMEOUT=str(EXPORT_SECONDS),
        )
        begun = time.monotonic()
        for _ in range(50):
            assert system.http.post("/products", json=LAMP).status_code == 201
        for spans in system.spans:
            spans.close(CLOSE_SECONDS)
        assert time.monotonic() - begun < SOON_SECONDS


def test_nothing_of_opentelemetry_is_imported_without_the_variables() -> None:
    code = """
import sys
import bus.worker.worker, bus.runtime.running, bus.http
from bus.telemetry.export import spans_from
assert spans_from({}, "x", "amqp://") is None
assert spans_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_SDK_DISABLED": "true"}, "x", "amqp://") is None
assert spans_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_TRACES_EXPORTER": "none"}, "x", "amqp://") is None
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
sys.path[:] = [each for each in sys.path if "site-packages" not in each]
import bus.telemetry.export
bus.telemetry.export.find_spec = lambda name: None
assert spans_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, "x", "amqp://") is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
