"""Messages published straight to a queue, by programs that know nothing of us, to real workers."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pika
import pytest
from support.example_service import words_in
from support.installed_programs import need_programs
from support.long_timeouts import use_long_timeouts
from support.plain_publisher import Answer, PlainPublisher
from support.worker_threads import WAIT_SECONDS, System, all_services

from auth.handlers import auth as auth_service
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.trace_context import begin
from bus.testing.waiting import wait_until
from catalog.handlers import catalog as catalog_service
from catalog.web import create_app

RUN_SECONDS = 60.0
# Fifty connections are opened meanwhile.
GATE_SECONDS = 60.0

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
PUBLISHER = Path(__file__).parents[1] / "support" / "plain_publisher.py"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
def system(broker_url: str, catalog_url: str, tmp_path: Path) -> Iterator[System]:
    """The catalog on either database."""
    database = Database(catalog_url)
    migrate(database, "catalog.migrations")
    with System(broker_url) as system:
        system.start(catalog_service, database)
        yield system


@pytest.fixture
def sqlite_system(broker_url: str, tmp_path: Path) -> Iterator[System]:
    """The catalog, auth and the example, for what does not depend on the database."""
    with all_services(broker_url, tmp_path) as system:
        yield system


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


# A program that is not ours.


def test_a_program_without_a_line_of_ours_creates_a_product(system: System) -> None:
    run = subprocess.run(
        [sys.executable, "-P", str(PUBLISHER), system.url], capture_output=True, timeout=RUN_SECONDS, check=True
    )
    told = json.loads(run.stdout)
    assert told["ours"] == []
    assert told["reply"]["product"]["name"] == "Plain"
    assert system.products() == 1


def test_every_operation_of_the_catalog_is_a_queue(system: System, publisher: PlainPublisher) -> None:
    created = publisher.call("catalog.create_product", **LAMP)
    lamp = created["product"]
    assert created["message"] == "Product created successfully"
    others = {"id": lamp["id"], "available": LAMP["quantity"], "version": 1, "updated_at": lamp["updated_at"]}
    assert {**LAMP, **others} == lamp
    assert publisher.call("catalog.get_product", product_id=lamp["id"]) == lamp
    assert publisher.call("catalog.list_products") == {"products": [lamp], "next": None}
    updated = publisher.call("catalog.update_product", product_id=lamp["id"], price=12)["product"]
    assert updated == {**lamp, "price": 12, "version": 2, "updated_at": updated["updated_at"]}
    assert publisher.call("catalog.ping")["service"] == "catalog"
    assert "message" in publisher.call("catalog.delete_product", product_id=lamp["id"])
    assert publisher.ask("catalog.get_product", {"product_id": lamp["id"]}).status == 404


def test_an_account_is_registered_from_its_queue(sqlite_system: System, publisher: PlainPublisher) -> None:
    account = {"username": "ann", "email": "ann@example.com", "password": "correct horse"}
    answer = publisher.ask("auth.register", account)
    assert (answer.status, answer.json["user"]["username"]) == (201, "ann")
    assert b"correct horse" not in answer.body
    again = publisher.ask("auth.register", {**account, "username": "ANN", "email": "other@example.com"})
    assert (again.status, again.code) == (409, "auth.username_taken")


def test_a_reply_says_what_http_would(system: System, publisher: PlainPublisher) -> None:
    answer = publisher.ask("catalog.create_product", LAMP, correlation_id="my-7", content_type="application/json")
    assert answer.status == 201
    assert answer.properties.content_type == "application/json"
    assert answer.properties.correlation_id == "my-7"
    assert answer.properties.headers["location"] == f"/products/{answer.json['product']['id']}"
    trace = {"traceparent": begin().traceparent}  # its id is in every problem
    refused = publisher.ask("catalog.get_product", {"product_id": 4711}, headers=trace)
    assert (refused.status, refused.properties.content_type) == (404, "application/problem+json")
    with Client(system.url) as client:
        assert create_app(client).test_client().get("/products/4711", headers=trace).data == refused.body


def test_what_came_from_a_queue_is_seen_over_http(system: System, publisher: PlainPublisher) -> None:
    lamp = publisher.call("catalog.create_product", **LAMP)["product"]
    with Client(system.url) as client:
        http = create_app(client).test_client()
        assert http.get(f"/products/{lamp['id']}").json == lamp
        assert http.get("/products").json == {"products": [lamp], "next": None}


def test_without_reply_to_a_command_is_carried_out_and_nobody_told(system: System, publisher: PlainPublisher) -> None:
    publisher.send("catalog.create_product", LAMP)
    wait_until(lambda: system.products() == 1, WAIT_SECONDS, "the product is there")
    assert not system.letters["catalog"].has_more()


def test_the_exchange_leads_to_the_same_queues(system: System, publisher: PlainPublisher) -> None:
    answer = publisher.ask("catalog.create_product", LAMP, exchange="bus.requests")
    assert answer.status == 201
    with pytest.raises(pika.exceptions.UnroutableError):
        publisher.send("catalog.dead", LAMP, exchange="bus.requests")


def test_the_command_line_tools_of_debian_are_enough(system: System) -> None:
    need_programs("amqp-publish", "amqp-consume")
    replies = f"reply-{uuid.uuid4().hex[:8]}"
    plain = PlainPublisher(system.url)
    plain.channel.queue_declare(replies, durable=True)
    body = json.dumps(LAMP)
    publish = ["amqp-publish", "-u", system.url, "-r", "catalog.create_product", "-p", "-C", "application/json"]
    subprocess.run([*publish, "-t", replies, "-b", body], check=True, timeout=RUN_SECONDS)
    consume = ["amqp-consume", "-u", system.url, "-q", replies, "-c", "1", "cat"]
    run = subprocess.run(consume, check=True, timeout=RUN_SECONDS, capture_output=True)
    assert json.loads(run.stdout)["product"]["name"] == "Lamp"
    plain.channel.queue_delete(replies)
    plain.close()


# Twice, and in crowds.


def test_the_same_id_twice_has_one_effect_and_one_reply(system: System, publisher: PlainPublisher) -> None:
    answers = [publisher.ask("catalog.create_product", LAMP, message_id="order-1") for _ in range(3)]
    assert {answer.body for answer in answers} == {answers[0].body}
    assert len({answer.properties.headers.pop("traceparent") for answer in answers}) == 3, "each was asked in a trace"
    assert [answer.properties.headers for answer in answers] == [answers[0].properties.headers] * 3
    assert system.products() == 1
    other = publisher.ask("catalog.create_product", {**LAMP, "quantity": 4}, message_id="order-1")
    assert (other.status, other.code) == (422, "idempotency-key-reuse")
    assert system.products() == 1


def test_a_crowd_with_few_ids_has_as_many_effects(system: System, publisher: PlainPublisher) -> None:
    sent = 200
    for number in range(sent):
        publisher.send(
            "catalog.create_product", LAMP, message_id=f"order-{number % 20}", reply_to=publisher.reply_queue
        )
    answers = [publisher.answer() for _ in range(sent)]
    assert {answer.status for answer in answers} == {201}
    assert len({answer.body for answer in answers}) == system.products() == 20


def test_two_workers_share_the_work_and_do_nothing_twice(
    broker_url: str, database_url: str, publisher: PlainPublisher
) -> None:
    database = Database(database_url)
    migrate(database, "catalog.migrations")
    with System(broker_url) as system:
        system.start(catalog_service, database)
        system.start(catalog_service, database)
        for number in range(200):
            publisher.send("catalog.create_product", LAMP, message_id=f"{number // 2}", reply_to=publisher.reply_queue)
        answers = [publisher.answer() for _ in range(200)]
        assert {answer.status for answer in answers} == {201}
        assert len({answer.body for answer in answers}) == system.products() == 100


def test_fifty_at_once_with_one_id_have_one_effect_and_equal_replies(broker_url: str, database_url: str) -> None:
    """Each from a connection of its own, to two workers that meet in the database."""
    database = Database(database_url)
    migrate(database, "catalog.migrations")
    crowd, gate = 50, threading.Barrier(50)

    def ask(_: int) -> Answer:
        publisher = PlainPublisher(broker_url)
        gate.wait(GATE_SECONDS)
        answer = publisher.ask("catalog.create_product", LAMP, message_id="crowd")
        publisher.close()
        return answer

    with System(broker_url) as system, ThreadPoolExecutor(crowd) as pool:
        system.start(catalog_service, database)
        system.start(catalog_service, database)
        answers = list(pool.map(ask, range(crowd)))
        assert {answer.status for answer in answers} == {201}
        assert len({(answer.body, answer.properties.headers["location"]) for answer in answers}) == 1
        assert system.products() == 1


def test_a_handler_that_fails_is_told_without_a_trace_and_its_message_kept(
    sqlite_system: System, publisher: PlainPublisher
) -> None:
    answer: Answer = publisher.ask("example.keep", {"word": "break"})
    assert (answer.status, answer.code) == (500, "internal-error")
    assert b"Broken" not in answer.body
    assert b"Traceback" not in answer.body
    letter = sqlite_system.letters["example"].next()
    assert (letter.reason, json.loads(letter.body)) == ("fault", {"word": "break"})
    assert (letter.error_class, letter.detail, letter.attempts) == ("Broken", "as asked", 2)
    assert "in _behave" in letter.traceback
    assert publisher.ask("example.keep", {"word": "fine"}).status == 201
    assert words_in(sqlite_system.databases["example"]) == ["fine"]


def test_a_query_whose_handler_fails_is_told_and_not_kept(sqlite_system: System, publisher: PlainPublisher) -> None:
    assert publisher.ask("example.count", {"word": "break"}).status == 500
    assert publisher.ask("example.count", {"word": "a"}).json == {"count": 0}
    assert not sqlite_system.letters["example"].has_more()


def test_without_its_database_a_worker_still_sends_nothing_into_our_queues(
    broker_url: str, publisher: PlainPublisher, tmp_path: Path
) -> None:
    """The command keeps the worker waiting for the database; the queries come while it waits."""
    publisher.channel.queue_declare("auth.dead", durable=True)
    with System(broker_url) as system:
        system.start(catalog_service, Database("postgresql://nobody@127.0.0.1:1/nothing"))
        publisher.send("catalog.create_product", LAMP)
        for _ in range(3):
            publisher.send("catalog.get_product", {"product_id": 1}, reply_to="auth.dead")
            answer = publisher.ask("catalog.get_product", {"product_id": 1})
            assert (answer.status, answer.code) == (503, "database-away")
        assert publisher.take("auth.dead") is None


# The database.


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_it_is_said_rightly_which_of_name_and_address_is_taken(
    request: pytest.FixtureRequest, broker_url: str, publisher: PlainPublisher, tmp_path: Path, kind: str
) -> None:
    url = f"sqlite:///{tmp_path}/auth.db" if kind == "sqlite" else request.getfixturevalue("database_url")
    database = Database(url)
    migrate(database, "auth.migrations")
    first = {"username": "email_key", "email": "email_key@example.com", "password": "correct horse"}
    with System(broker_url) as system:
        system.start(auth_service, database)
        assert publisher.ask("auth.register", first).status == 201
        assert publisher.ask("auth.register", {**first, "email": "b@example.com"}).code == "auth.username_taken"
        assert publisher.ask("auth.register", {**first, "username": "other"}).code == "auth.email_taken"
