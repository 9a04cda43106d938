"""Messages published straight to a queue, by programs that know nothing of us, to real workers."""

import json
import pickle
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pika
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from example import create_tables, make_service, words_in
from plain_publisher import Answer, PlainPublisher
from programs import need_programs
from sqlalchemy import MetaData, func, select

import auth.tables
import catalog.tables
from auth.handlers import auth as auth_service
from bus import inbox
from bus.client import Client
from bus.connect import transport_for
from bus.database import Database
from bus.migrating import migrate
from bus.service import Service
from bus.testing.waiting import wait_until
from bus.worker import Worker
from catalog.handlers import catalog as catalog_service
from catalog.tables import product
from catalog.web import create_app

START_SECONDS = 20.0
# For what happens beside the reply, such as a dead letter.
NEWS_SECONDS = 10.0
RUN_SECONDS = 30.0

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
PUBLISHER = Path(__file__).with_name("plain_publisher.py")


class System:
    """A broker's URL, and workers in threads of this process that are connected to it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.databases: dict[str, Database] = {}
        self._workers: list[Worker] = []

    def start(self, service: Service, database: Database) -> None:
        transport = transport_for(self.url, service.name)
        worker = Worker(service, transport, database)
        self.databases[service.name] = database
        self._workers.append(worker)
        worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop(NEWS_SECONDS)
        for database in self.databases.values():
            database.close()

    def products(self) -> int:
        with self.databases["catalog"].reading() as transaction:
            return int(transaction.connection.execute(select(func.count()).select_from(product)).scalar_one())


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
    with System(broker_url) as system:
        for service, history in ((catalog_service, "catalog"), (auth_service, "auth"), (make_service(), "catalog")):
            database = Database(f"sqlite:///{tmp_path}/{service.name}.db")
            migrate(database, f"{history}.migrations")
            if service.name == "example":
                create_tables(database)
            system.start(service, database)
        yield system


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


def _dead_letter(publisher: PlainPublisher, service: str = "catalog") -> tuple[pika.BasicProperties, bytes]:
    found: list[tuple[pika.BasicProperties, bytes]] = []

    def there() -> bool:
        found.extend(filter(None, [publisher.take(f"{service}.dead")]))
        return bool(found)

    wait_until(there, NEWS_SECONDS, "a dead letter")
    return found[0]


def _lives_on(publisher: PlainPublisher) -> bool:
    answer = publisher.ask("catalog.create_product", {**LAMP, "name": "after"})
    return answer.status == 201


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
    assert {**LAMP, "id": lamp["id"], "version": 1} == lamp
    assert publisher.call("catalog.get_product", product_id=lamp["id"]) == lamp
    assert publisher.call("catalog.list_products") == {"products": [lamp], "next": None}
    updated = publisher.call("catalog.update_product", product_id=lamp["id"], price=12)["product"]
    assert updated == {**lamp, "price": 12, "version": 2}
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
    refused = publisher.ask("catalog.get_product", {"product_id": 4711})
    assert (refused.status, refused.properties.content_type) == (404, "application/problem+json")
    http = create_app(Client(system.url)).test_client()
    assert http.get("/products/4711").data == refused.body


def test_what_came_from_a_queue_is_seen_over_http(system: System, publisher: PlainPublisher) -> None:
    lamp = publisher.call("catalog.create_product", **LAMP)["product"]
    with Client(system.url) as client:
        http = create_app(client).test_client()
        assert http.get(f"/products/{lamp['id']}").json == lamp
        assert http.get("/products").json == {"products": [lamp], "next": None}


def test_without_reply_to_a_command_is_carried_out_and_nobody_told(system: System, publisher: PlainPublisher) -> None:
    publisher.send("catalog.create_product", LAMP)
    wait_until(lambda: system.products() == 1, NEWS_SECONDS, "the product is there")
    assert publisher.take("catalog.dead") is None


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


# Hostile programs.


def _nested_table(levels: int) -> bytes:
    table = b""
    for _ in range(levels):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


HOSTILE: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "empty": (b"", {}, 400, "malformed-json"),
    "truncated": (b'{"name": "La', {}, 400, "malformed-json"),
    "invalid utf-8": (b'{"name": "\xff"}', {}, 400, "malformed-json"),
    "an exponent beyond any decimal": (b'{"price": 1e99999999999999999999}', {}, 400, "malformed-json"),
    "nested": (b"[" * 20_000, {}, 400, "json-too-deep"),
    "duplicate key": (b'{"name": "a", "name": "b"}', {}, 400, "duplicate-key"),
    "pickle": (pickle.dumps(LAMP), {"content_type": "application/x-python-serialize"}, 415, "unsupported-media-type"),
    "gzip": (b"\x1f\x8b", {"content_encoding": "gzip"}, 415, "unsupported-encoding"),
    "binary content type": (json.dumps(LAMP).encode(), {"content_type": b"\xff"}, 415, "unsupported-media-type"),
    "300 KB": (b" " * 300_000, {}, 413, "too-large"),
    "binary id": (json.dumps(LAMP).encode(), {"message_id": b"\xff" * 255}, 400, "invalid-message-id"),
}


def test_what_makes_no_sense_is_answered_and_kept_for_a_person(
    sqlite_system: System, publisher: PlainPublisher
) -> None:
    for name, (body, properties, status, code) in HOSTILE.items():
        answer = publisher.ask("catalog.create_product", body, correlation_id=name, **properties)
        assert (answer.status, answer.code, answer.properties.correlation_id) == (status, code, name)
        letter, kept = _dead_letter(publisher)
        assert (letter.headers["reason"], letter.headers["origin-queue"]) == (code, "catalog.create_product")
        assert kept == body[: 256 * 1024]
    assert sqlite_system.products() == 0
    assert _lives_on(publisher)


def test_what_makes_no_sense_and_asks_no_answer_is_kept_too(sqlite_system: System, publisher: PlainPublisher) -> None:
    publisher.send("catalog.create_product", b"{")
    assert _dead_letter(publisher)[0].headers["reason"] == "malformed-json"
    publisher.send("catalog.create_product", {**LAMP, "price": -1})
    assert _dead_letter(publisher)[0].headers["reason"] == "out-of-range"
    publisher.send("catalog.delete_product", {"product_id": 4711})
    letter, _ = _dead_letter(publisher)
    assert letter.headers["reason"] == "refused"
    assert "catalog.product_not_found" in letter.headers["detail"]
    assert _lives_on(publisher)


def test_what_is_not_acceptable_is_told_to_the_sender_alone(sqlite_system: System, publisher: PlainPublisher) -> None:
    for body, code in (
        ({**LAMP, "role": "admin"}, "unknown-field"),
        ({**LAMP, "name": "\x00"}, "invalid-text"),
        ({**LAMP, "\ud800": 1}, "unknown-field"),
        ({**LAMP, "quantity": 2**63}, "out-of-range"),
    ):
        answer = publisher.ask("catalog.create_product", body)
        assert (answer.status, answer.code) == (422, code)
    assert _lives_on(publisher)
    assert publisher.take("catalog.dead") is None


def test_no_secret_rests_in_the_dead_letters(sqlite_system: System, publisher: PlainPublisher) -> None:
    account = {"username": "ann", "email": "nowhere", "password": "correct horse"}
    publisher.send("auth.register", account)
    _, kept = _dead_letter(publisher, "auth")
    assert json.loads(kept) == "[the body may hold secrets and is not kept]"
    publisher.ask("auth.register", {**account, "email": "ann@example.com"})
    publisher.send("auth.register", {**account, "email": "other@example.com"})
    letter, kept = _dead_letter(publisher, "auth")
    assert letter.headers["reason"] == "refused"
    assert json.loads(kept)["password"] == "[secret]"


@pytest.mark.parametrize("address", ["auth.register", "catalog.get_product", "catalog.dead", "bus.requests", "\x7f"])
def test_a_reply_address_that_is_one_of_our_queues_is_refused(
    sqlite_system: System, publisher: PlainPublisher, address: str
) -> None:
    publisher.send("catalog.create_product", LAMP, reply_to=address)
    letter, _ = _dead_letter(publisher)
    assert letter.headers["reason"] == "reply-to-forbidden"
    assert _lives_on(publisher)
    assert sqlite_system.products() == 1  # the one that `_lives_on` made
    for service in ("auth", "catalog"):
        assert publisher.take(f"{service}.dead") is None


def test_a_reply_queue_that_is_gone_hinders_nothing_and_is_not_made(
    sqlite_system: System, publisher: PlainPublisher
) -> None:
    gone = f"reply-{uuid.uuid4().hex}"
    publisher.send("catalog.create_product", LAMP, reply_to=gone)
    wait_until(lambda: sqlite_system.products() == 1, NEWS_SECONDS, "the product is there")
    assert _lives_on(publisher)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
        publisher.channel.connection.channel().queue_declare(gone, passive=True)


def test_forged_headers_are_ignored(sqlite_system: System, publisher: PlainPublisher) -> None:
    forged = {
        "x-user-id": "1",
        "role": "admin",
        "sub": "root",
        "x-delivery-count": 99,
        "x-death": [{"count": 99, "queue": "catalog.create_product"}],
        "status": 500,
        "traceparent": {"not": "text"},
        "compression": "application/x-gzip",
        "deep": _nested(200),
    }
    assert publisher.ask("catalog.create_product", LAMP, headers=forged).status == 201
    answer = publisher.ask("catalog.create_product", b"{", headers=forged)
    assert answer.status == 400
    letter, _ = _dead_letter(publisher)
    # The broker counts deliveries of its own.
    assert letter.headers.pop("x-delivery-count", 0) < 2
    assert letter.headers.keys() == {"origin-queue", "reason", "detail", "died-at"}


# Header tables that a broker takes and Python cannot hold (AMQP 0-9-1, section 4.2.5.5, and RabbitMQ's errata).
UNREADABLE = {
    "a time beyond any calendar": b"\x01tT" + struct.pack(">Q", 2**62),
    "a time below any calendar": b"\x01tT" + struct.pack(">Q", 2**64 - 1),
    "tables a thousand deep": _nested_table(1000),
}


@pytest.mark.parametrize("headers", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize(
    ("queue", "body"),
    [("catalog.create_product", LAMP), ("catalog.get_product", {"product_id": 1})],
    ids=["command", "query"],
)
def test_headers_that_nobody_can_read_stop_nobody(
    sqlite_system: System, publisher: PlainPublisher, headers: bytes, queue: str, body: dict[str, Any]
) -> None:
    publisher.send_forged(queue, body, headers, reply_to=publisher.reply_queue, correlation_id="forged")
    answer = publisher.answer()
    assert (answer.status, answer.properties.correlation_id) == (201 if body is LAMP else 404, "forged")
    assert _lives_on(publisher)


@pytest.mark.parametrize("correlation_id", [None, "", "c" * 255, "é" * 127, b"\xff\x00\xfe", b"\xff" * 255], ids=repr)
def test_a_correlation_id_comes_back_unchanged_or_not_at_all(
    sqlite_system: System, publisher: PlainPublisher, correlation_id: Any
) -> None:
    answer = publisher.ask("catalog.create_product", LAMP, correlation_id=correlation_id)
    assert answer.status == 201
    assert answer.properties.correlation_id in (correlation_id, correlation_id or None)


def test_the_same_id_twice_has_one_effect_and_one_reply(system: System, publisher: PlainPublisher) -> None:
    answers = [publisher.ask("catalog.create_product", LAMP, message_id="order-1") for _ in range(3)]
    assert {answer.body for answer in answers} == {answers[0].body}
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


def test_a_handler_that_fails_is_told_without_a_trace_and_its_message_kept(
    sqlite_system: System, publisher: PlainPublisher
) -> None:
    answer: Answer = publisher.ask("example.keep", {"word": "break"})
    assert (answer.status, answer.code) == (500, "internal-error")
    assert b"Broken" not in answer.body
    assert b"Traceback" not in answer.body
    letter, kept = _dead_letter(publisher, "example")
    assert (letter.headers["reason"], json.loads(kept)) == ("fault", {"word": "break"})
    assert "Broken" in letter.headers["detail"]
    assert publisher.ask("example.keep", {"word": "fine"}).status == 201
    assert words_in(sqlite_system.databases["example"]) == ["fine"]


def test_a_query_whose_handler_fails_is_told_and_not_kept(sqlite_system: System, publisher: PlainPublisher) -> None:
    assert publisher.ask("example.count", {"word": "break"}).status == 500
    assert publisher.ask("example.count", {"word": "a"}).json == {"count": 0}
    assert publisher.take("example.dead") is None


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


@pytest.mark.parametrize("history", ["auth", "catalog"])
def test_on_postgresql_too_the_migrated_schema_is_the_declared_one(database_url: str, history: str) -> None:
    database = Database(database_url)
    migrate(database, f"{history}.migrations")
    everything = MetaData()
    declared = auth.tables.metadata if history == "auth" else catalog.tables.metadata
    for table in (*declared.tables.values(), *inbox.metadata.tables.values()):
        table.to_metadata(everything)
    with database.transaction() as transaction:
        assert compare_metadata(MigrationContext.configure(transaction.connection), everything) == []
    database.close()


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


def _nested(levels: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(levels):
        table = {"a": table}
    return table
