"""Requests over HTTP as the log and the metrics of a front end tell them, on the embedded broker."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask.testing import FlaskClient
from structlog.testing import capture_logs
from support.long_timeouts import use_long_timeouts

from bus.client.client import Client
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.messaging.message import JSON, Message
from bus.telemetry.metrics import Metrics
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct
from catalog.handlers import catalog
from catalog.web import create_app

WAIT_SECONDS = 30.0
LAMP = {"name": "Lamp of a secret kind", "price": 9.9, "quantity": 3}

Open = Callable[..., FlaskClient]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture
def front_end(memory_url: str, database: Database) -> Iterator[Open]:
    """A front end before a worker; its client may be limited."""
    with ExitStack() as closing:

        def open_front_end(**limits: int) -> FlaskClient:
            metrics = Metrics()
            worker = Worker(catalog, transport_for(memory_url, "catalog"), database, metrics=metrics)
            worker.start()
            closing.callback(worker.stop, WAIT_SECONDS)
            client = closing.enter_context(Client(memory_url, name="web", metrics=metrics, **limits))
            return create_app(client).test_client()

        yield open_front_end


def _shown(http: FlaskClient) -> dict[str, float]:
    """The samples of `/metrics`."""
    response = http.get("/metrics")
    assert response.content_type.startswith("text/plain; version=")
    lines = (line.rpartition(" ") for line in response.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def _told(logs: list[Any]) -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == "http"]


def test_each_request_is_one_line_without_what_it_carries(front_end: Open) -> None:
    http = front_end()
    with capture_logs() as logs:
        created = http.post("/products", json=LAMP, headers={"Idempotency-Key": "k-1", "Authorization": "Bearer abc"})
        assert created.status_code == 201
        http.get("/products?cursor=4711")
        http.get("/products/4712")
    create, page, read = _told(logs)
    assert {name: create[name] for name in ("log_level", "method", "route", "status", "operation", "id")} == {
        "log_level": "info",
        "method": "POST",
        "route": "/products",
        "status": 201,
        "operation": "catalog.create_product",
        "id": "k-1",
    }
    assert 0 < create["ms"] < 10_000
    assert len(create["trace_id"]) == 32
    assert (page["route"], page["operation"]) == ("/products", "catalog.list_products")
    assert (read["route"], read["status"]) == ("/products/<int:product_id>", 404)
    assert len({line["trace_id"] for line in (create, page, read)}) == 3
    for hidden in ("secret kind", "Bearer", "4711", "4712"):
        assert hidden not in str(_told(logs))


def test_health_checks_and_metrics_are_told_only_to_who_debugs(front_end: Open) -> None:
    http = front_end()
    with capture_logs() as logs:
        for path in ("/health/live", "/health/ready", "/metrics"):
            assert http.get(path).status_code == 200
    assert [(line["route"], line["log_level"]) for line in _told(logs)] == [
        ("/health/live", "debug"),
        ("/health/ready", "debug"),
        ("/metrics", "debug"),
    ]


def test_requests_are_counted_by_route_and_never_by_what_they_bring(front_end: Open) -> None:
    http = front_end()
    for _ in range(2):
        assert http.post("/products", json=LAMP).status_code == 201
    assert http.post("/products", json={**LAMP, "price": -1}).status_code == 422
    assert http.get("/forged-path").status_code == 404
    assert http.open("/products", method="FORGED").status_code == 405
    answered = 'bus_messages_total{operation="catalog.create_product",outcome="answered"}'
    # The worker counts after it has replied.
    wait_until(lambda: _shown(http).get(answered, 0) >= 2, WAIT_SECONDS, "both are counted")
    shown = _shown(http)
    create = 'method="POST",operation="catalog.create_product",route="/products",service="catalog"'
    assert shown[f'bus_http_requests_total{{{create},status="201"}}'] == 2
    assert shown[f'bus_http_requests_total{{{create},status="422"}}'] == 1
    assert shown['bus_http_request_seconds_count{method="POST",route="/products",service="catalog"}'] == 3
    nowhere = 'operation="",route="none",service="catalog"'
    assert shown[f'bus_http_requests_total{{method="GET",{nowhere},status="404"}}'] == 1
    assert shown[f'bus_http_requests_total{{method="_OTHER",{nowhere},status="405"}}'] == 1
    assert shown['bus_http_requests_in_flight{service="catalog"}'] == 1, "the one that asks"
    assert shown[answered] == 2
    assert shown['bus_broker_connected{connection="web"}'] == 1
    assert "orged" not in str(shown)


def test_requests_in_hand_are_shown_until_they_are_answered(front_end: Open) -> None:
    http = front_end()
    released = threading.Event()
    app = http.application
    app.add_url_rule("/slow", "slow", lambda: str(released.wait(WAIT_SECONDS)))
    thread = threading.Thread(target=lambda: app.test_client().get("/slow"))
    thread.start()
    wait_until(lambda: _shown(http)['bus_http_requests_in_flight{service="catalog"}'] == 2, WAIT_SECONDS, "two of them")
    released.set()
    thread.join(WAIT_SECONDS)
    assert _shown(http)['bus_http_requests_in_flight{service="catalog"}'] == 1


def test_a_handler_that_fails_over_http_is_still_counted_as_answered(front_end: Open) -> None:
    http = front_end()
    http.application.add_url_rule("/broken", "broken", lambda: str(1 // 0))
    assert http.get("/broken").status_code == 500
    shown = _shown(http)
    assert shown['bus_http_requests_in_flight{service="catalog"}'] == 1
    labels = 'method="GET",operation="",route="/broken",service="catalog",status="500"'
    assert shown[f"bus_http_requests_total{{{labels}}}"] == 1


def test_what_is_refused_as_too_much_is_counted_by_its_code(front_end: Open) -> None:
    http = front_end(max_in_flight=0)
    assert http.post("/products", json=LAMP).status_code == 503
    assert http.get("/products/1?forged=1").status_code == 400
    shown = _shown(http)
    assert {name: value for name, value in shown.items() if name.startswith("bus_http_overloads_total")} == {
        'bus_http_overloads_total{code="too-many-in-flight",service="catalog"}': 1
    }


def test_a_reply_that_nobody_waits_for_is_counted_as_late(front_end: Open, memory_url: str) -> None:
    http = front_end()
    client: Client = http.application.extensions["bus"].client
    transport = transport_for(memory_url, "late")
    address = client._transport.reply_address
    assert address
    nobodys = Message(queue=address, body=b"{}", correlation_id="0" * 32, content_type=JSON, headers={"status": 200})
    transport.publish(nobodys)
    name = 'bus_late_replies_total{connection="web"}'
    wait_until(lambda: _shown(http)[name] == 1, WAIT_SECONDS, "it is counted")


def test_a_client_without_metrics_counts_nothing(memory_url: str) -> None:
    with Client(memory_url) as client:
        assert client.metrics is None
        assert CreateProduct.operation_name not in str(_shown(create_app(client).test_client()))
