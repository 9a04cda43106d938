"""The management API: missing bindings and policies that could lose messages, as RabbitMQ 4 and 3.10 show them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bus.messaging.broker_url import parse_broker_url
from bus.messaging.declarations import bindings_of
from bus.messaging.rabbitmq import management
from bus.messaging.rabbitmq.management import ManagementUnavailable, hidden_differences
from catalog.handlers import catalog

QUEUES = catalog.queues()
BROKER = parse_broker_url("amqp://worker:secret@127.0.0.1/shop%2F1")
COMMAND, DEAD = "catalog.create_product", "catalog.dead"


class Api:
    """Stands for the API of a broker on which everything is as declared. `status` is that of all answers."""

    def __init__(self) -> None:
        self.status = 200
        bindings = [each for queue in QUEUES for each in bindings_of(queue)]
        self.bindings = [{"source": b.exchange, "destination": b.queue, "routing_key": b.key} for b in bindings]
        self.queues = {
            queue.name: {"name": queue.name, "arguments": queue.arguments(), "effective_policy_definition": []}
            for queue in QUEUES
        }
        self.asked: list[tuple[str, str]] = []

    def set_policy(self, queue: str, **definition: object) -> None:
        named = {name.replace("_", "-"): value for name, value in definition.items()}
        self.queues[queue] |= {"policy": None, "operator_policy": "all", "effective_policy_definition": named}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api.asked.append((self.path, self.headers["Authorization"]))
            self.send_response(api.status)
            self.end_headers()
            shown = api.bindings if "/bindings/" in self.path else list(api.queues.values())
            self.wfile.write(json.dumps(shown).encode() if api.status == 200 else b"no")

        def log_message(self, *_: object) -> None:
            """Nothing: the output of a test."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(management, "PORTS", {"amqp": server.server_address[1]})
    yield api
    server.shutdown()
    server.server_close()


def test_where_all_is_as_declared_nothing_is_said(api: Api) -> None:
    assert hidden_differences(BROKER, QUEUES) == []
    assert {path for path, _ in api.asked} == {"/api/bindings/shop%2F1", "/api/queues/shop%2F1"}
    assert {user for _, user in api.asked} == {"Basic d29ya2VyOnNlY3JldA=="}


def test_a_removed_binding_is_named(api: Api) -> None:
    api.bindings = [each for each in api.bindings if each["destination"] != COMMAND]
    found = hidden_differences(BROKER, QUEUES)
    assert len(found) == 2  # to the requests, and to what comes back from the retry queues
    assert all(f"binding of {COMMAND} to " in sentence and "is missing" in sentence for sentence in found)


def test_a_queue_that_is_missing_is_told_elsewhere(api: Api) -> None:
    del api.queues[COMMAND]
    api.bindings = [each for each in api.bindings if each["destination"] != COMMAND]
    assert hidden_differences(BROKER, QUEUES) == []


@pytest.mark.parametrize(
    ("queue", "policy"),
    [
        (COMMAND, {"message_ttl": 60_000}),
        (COMMAND, {"expires": 60_000}),
        (DEAD, {"max_length": 10}),
        (DEAD, {"max_length_bytes": 10, "overflow": "drop-head"}),
    ],
)
def test_a_policy_that_drops_messages_is_named(api: Api, queue: str, policy: dict[str, object]) -> None:
    api.set_policy(queue, **policy)
    (sentence,) = hidden_differences(BROKER, QUEUES)
    assert sentence.startswith(f"{queue} has the policy all with {next(iter(policy)).replace('_', '-')} ")


@pytest.mark.parametrize(
    ("queue", "policy"),
    [
        (COMMAND, {"max_length": 10}),
        (DEAD, {"max_length": 10, "overflow": "reject-publish"}),
        (DEAD, {"ha-mode": "all"}),
    ],
)
def test_a_policy_that_refuses_or_does_neither_is_not(api: Api, queue: str, policy: dict[str, object]) -> None:
    api.set_policy(queue, **policy)
    assert hidden_differences(BROKER, QUEUES) == []


@pytest.mark.parametrize(("status", "words"), [(401, "does not let this user in"), (404, "answers 404")])
def test_why_nothing_is_seen_is_said(api: Api, status: int, words: str) -> None:
    api.status = status
    with pytest.raises(ManagementUnavailable, match=words):
        hidden_differences(BROKER, QUEUES)


def test_without_the_api_it_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "PORTS", {"amqp": 1})
    with pytest.raises(ManagementUnavailable, match="cannot be reached: Connection refused"):
        hidden_differences(BROKER, QUEUES)
