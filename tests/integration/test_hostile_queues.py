"""Hostile messages, published straight to a queue of real workers by programs that owe us nothing.

A message that makes no sense is answered where it says where, and kept for a person; the worker lives on.
"""

import json
import os
import pickle
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pika
import pytest
from support.plain_publisher import PlainPublisher
from support.worker_threads import WAIT_SECONDS, System, all_services, can_create_product

from auth.handlers import auth as auth_service
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging import trace_context
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits, Queue, queues_of
from bus.messaging.transport import TransportOptions
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until
from catalog.handlers import catalog as catalog_service

RUN_SECONDS = 60.0

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
BODY = json.dumps(LAMP).encode()


@pytest.fixture(scope="module")
def system(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One for the whole file: its workers must outlive all of it. Each test reads all dead letters that it makes."""
    url = rabbitmq.fresh_vhost()
    with all_services(url, tmp_path_factory.mktemp("services")) as system:
        yield system
    rabbitmq.return_vhost(url)


@pytest.fixture
def publisher(system: System) -> Iterator[PlainPublisher]:
    with closing(PlainPublisher(system.url)) as publisher:
        yield publisher


HOSTILE: dict[str, tuple[bytes, dict[str, Any], int, str]] = {
    "empty": (b"", {}, 400, "malformed-json"),
    "blank": (b" \n", {}, 400, "malformed-json"),
    "truncated": (b'{"name": "La', {}, 400, "malformed-json"),
    "trailing bytes": (BODY + b"x", {}, 400, "malformed-json"),
    "two commands": (BODY + BODY, {}, 400, "malformed-json"),
    "a comment": (BODY + b" // a lamp", {}, 400, "malformed-json"),
    "a form feed": (b"\x0c" + BODY, {}, 400, "malformed-json"),
    "invalid utf-8": (b'{"name": "\xff"}', {}, 400, "malformed-json"),
    "overlong utf-8": (b'{"name": "\xc0\xaf"}', {}, 400, "malformed-json"),
    "utf-16": ('{"name": "x"}'.encode("utf-16"), {}, 400, "malformed-json"),
    "byte order mark": (b"\xef\xbb\xbf" + BODY, {}, 400, "malformed-json"),
    "NUL bytes": (bytes(1000), {}, 400, "malformed-json"),
    "NaN": (b'{"price": NaN}', {}, 400, "malformed-json"),
    "-Infinity": (b'{"price": -Infinity}', {}, 400, "malformed-json"),
    "1E400": (b'{"price": 1E400}', {}, 400, "malformed-json"),
    "an exponent beyond any decimal": (b'{"price": 1e99999999999999999999}', {}, 400, "malformed-json"),
    "a number of 200,000 digits": (b'{"price": ' + b"9" * 200_000 + b"}", {}, 400, "malformed-json"),
    "nested": (b"[" * 20_000, {}, 400, "json-too-deep"),
    "nested and hidden": (b"[" * 33 + b'"' + b'\\"' * 100_000, {}, 400, "json-too-deep"),
    "duplicate key": (b'{"name": "a", "name": "b"}', {}, 400, "duplicate-key"),
    "nested duplicates": (b'{"name": {"a": 1, "a": 2}}', {}, 400, "duplicate-key"),
    "null": (b"null", {}, 400, "not-an-object"),
    "a list of commands": (b"[" + BODY + b"]", {}, 400, "not-an-object"),
    "nothing required": (b"{}", {}, 400, "missing-field"),
    "pickle": (pickle.dumps(LAMP), {"content_type": "application/x-python-serialize"}, 415, "unsupported-media-type"),
    "pickle that says json": (pickle.dumps(LAMP), {"content_type": "application/json"}, 400, "malformed-json"),
    "yaml": (b"name: Lamp", {"content_type": "application/x-yaml"}, 415, "unsupported-media-type"),
    "msgpack": (b"\x81\xa4name", {"content_type": "application/x-msgpack"}, 415, "unsupported-media-type"),
    "text": (BODY, {"content_type": "text/plain"}, 415, "unsupported-media-type"),
    "latin-1": (BODY, {"content_type": "application/json; charset=latin-1"}, 415, "unsupported-media-type"),
    "binary content type": (BODY, {"content_type": b"\xff"}, 415, "unsupported-media-type"),
    "a content type of 255 characters": (BODY, {"content_type": "j" * 255}, 415, "unsupported-media-type"),
    "gzip": (b"\x1f\x8b", {"content_encoding": "gzip"}, 415, "unsupported-encoding"),
    "binary encoding": (BODY, {"content_encoding": b"\xff\x00"}, 415, "unsupported-encoding"),
    "256 KiB and 1": (b" " * (256 * 1024 + 1), {}, 413, "too-large"),
    "300 KB that are pickle": (b"\x80" * 300_000, {"content_type": "application/x-pickle"}, 413, "too-large"),
    "an empty id": (BODY, {"message_id": ""}, 400, "invalid-message-id"),
    "an id with a space": (BODY, {"message_id": "a b"}, 400, "invalid-message-id"),
    "an id with NUL": (BODY, {"message_id": "a\x00"}, 400, "invalid-message-id"),
    "an id of two lines": (BODY, {"message_id": "a\nb"}, 400, "invalid-message-id"),
    "an id in utf-8": (BODY, {"message_id": "é"}, 400, "invalid-message-id"),
    "a binary id": (BODY, {"message_id": b"\xff" * 255}, 400, "invalid-message-id"),
}


def test_what_makes_no_sense_is_answered_and_kept_for_a_person(system: System, publisher: PlainPublisher) -> None:
    before = system.products()
    for row, (body, properties, status, code) in HOSTILE.items():
        answer = publisher.ask("catalog.create_product", body, correlation_id=row, **properties)
        assert (answer.status, answer.code, answer.properties.correlation_id) == (status, code, row)
        letter = system.letters["catalog"].next()
        assert (letter.reason, letter.origin_queue) == (code, "catalog.create_product"), row
        assert letter.body == body[: 256 * 1024]
    assert system.products() == before
    assert can_create_product(publisher)


def test_what_makes_no_sense_and_asks_no_answer_is_kept_too(system: System, publisher: PlainPublisher) -> None:
    publisher.send("catalog.create_product", b"{")
    assert system.letters["catalog"].next().reason == "malformed-json"
    publisher.send("catalog.create_product", {**LAMP, "price": -1})
    assert system.letters["catalog"].next().reason == "out-of-range"
    publisher.send("catalog.delete_product", {"product_id": 4711})
    letter = system.letters["catalog"].next()
    assert letter.reason == "refused"
    assert "catalog.product_not_found" in letter.detail
    assert can_create_product(publisher)


NOT_ACCEPTABLE: dict[str, tuple[str, str]] = {
    "an unknown field": ('"role": "admin"', "unknown-field"),
    "a lone surrogate for a key": ('"\\ud800": 1', "unknown-field"),
    "a key of 100,000 characters": (f'"{"k" * 100_000}": 1', "unknown-field"),
    "NUL in text": ('"name": "\\u0000"', "invalid-text"),
    "a lone surrogate in text": ('"name": "\\udc00"', "invalid-text"),
    "true for a number": ('"quantity": true', "wrong-type"),
    "text for a number": ('"price": "12"', "wrong-type"),
    "a number beyond the column": ('"quantity": 9223372036854775808', "out-of-range"),
    "a negative zero": ('"price": -0.0', "out-of-range"),
    "a fraction for a whole number": ('"quantity": 1.5', "out-of-range"),
}


def test_what_is_not_acceptable_is_told_to_the_sender_alone(system: System, publisher: PlainPublisher) -> None:
    for row, (field, code) in NOT_ACCEPTABLE.items():
        name = field.partition(":")[0].strip('"')
        others = [f'"{other}": {json.dumps(value)}' for other, value in LAMP.items() if other != name]
        answer = publisher.ask("catalog.create_product", f"{{{', '.join([*others, field])}}}".encode())
        assert (answer.status, answer.code) == (422, code), row
    assert can_create_product(publisher)
    assert not system.letters["catalog"].has_more()


def test_no_secret_rests_in_the_dead_letters(system: System, publisher: PlainPublisher) -> None:
    account = {"username": "ann", "email": "nowhere", "password": "correct horse"}
    publisher.send("auth.register", account)
    letter = system.letters["auth"].next()
    assert json.loads(letter.body) == "[the body may hold secrets and is not kept]"
    publisher.ask("auth.register", {**account, "email": "ann@example.com"})
    publisher.send("auth.register", {**account, "email": "other@example.com"})
    letter = system.letters["auth"].next()
    assert letter.reason == "refused"
    assert json.loads(letter.body)["password"] == "[secret]"


# Reply addresses.

FORBIDDEN: dict[str, str | bytes] = {
    "a queue of another service": "auth.register",
    "a queue of its own": "catalog.get_product",
    "the dead letters": "catalog.dead",
    "the quarantine": "catalog.quarantine",
    "a retry queue": "catalog.retry.1s",
    "an exchange": "bus.requests",
    "an exchange of the broker": "amq.topic",
    "a control character": "\x7f",
    "bytes": b"\xff\xfe",
    "255 characters": "q" * 255,
    # RabbitMQ ends the connection of whoever publishes to an address that it cannot read.
    "a direct reply address that was made up": "amq.rabbitmq.reply-to.g1h2AA==.x",
}


@pytest.mark.parametrize("address", FORBIDDEN.values(), ids=FORBIDDEN)
def test_a_reply_address_that_is_none_is_refused(
    system: System, publisher: PlainPublisher, address: str | bytes
) -> None:
    before = system.products()
    publisher.send("catalog.create_product", LAMP, reply_to=address)
    letter = system.letters["catalog"].next()
    assert letter.reason == "reply-to-forbidden"
    assert can_create_product(publisher)
    assert system.products() == before + 1  # the one that `can_create_product` made
    assert not any(system.letters[service].has_more() for service in ("auth", "catalog"))


def test_a_reply_queue_that_is_gone_hinders_nothing_and_is_not_made(system: System, publisher: PlainPublisher) -> None:
    gone, before = f"reply-{uuid.uuid4().hex}", system.products()
    publisher.send("catalog.create_product", LAMP, reply_to=gone)
    wait_until(lambda: system.products() == before + 1, WAIT_SECONDS, "the product is there")
    assert can_create_product(publisher)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="404"):
        publisher.channel.connection.channel().queue_declare(gone, passive=True)


# Headers and other properties.


def test_forged_headers_are_ignored(system: System, publisher: PlainPublisher) -> None:
    forged = {
        "x-user-id": "1",
        "role": "admin",
        "sub": "root",
        "x-delivery-count": 99,
        "x-death": [{"count": 99, "queue": "catalog.create_product"}],
        "status": 500,
        "traceparent": {"not": "text"},
        "compression": "application/x-gzip",
        "origin-queue": "auth.register",
        "attempts": 10**9,
        "first-at": "never",
        "deep": _nested(200),
    }
    assert publisher.ask("catalog.create_product", LAMP, headers=forged).status == 201
    answer = publisher.ask("catalog.create_product", b"{", headers=forged)
    assert answer.status == 400
    letter = system.letters["catalog"].next()
    assert (letter.origin_queue, letter.reason) == ("catalog.create_product", "malformed-json")
    assert trace_context.read(letter.properties.traceparent), "a trace of its own began"


def test_headers_that_nearly_fill_a_frame_stop_nobody(system: System, publisher: PlainPublisher) -> None:
    """A frame has 128 KiB, and a dead letter has more headers than what it is a copy of."""
    answer = publisher.ask("catalog.create_product", b"{", headers={"traceparent": "x" * 130_950})
    assert answer.status == 400
    assert trace_context.read(system.letters["catalog"].next().properties.traceparent), "a trace of its own began"
    assert can_create_product(publisher)


def _nested_table(levels: int) -> bytes:
    table = b""
    for _ in range(levels):
        table = b"\x01aF" + struct.pack(">I", len(table)) + table
    return table


# Header tables that a broker takes and Python cannot hold (AMQP 0-9-1, section 4.2.5.5, and RabbitMQ's errata), and
# kinds of values that the two read differently.
STRANGE_TABLES = {
    "a time beyond any calendar": b"\x01tT" + struct.pack(">Q", 2**62),
    "a time below any calendar": b"\x01tT" + struct.pack(">Q", 2**64 - 1),
    "tables a thousand deep": _nested_table(1000),
    "a short number": b"\x01as\x00\x05",
    "a short text of RabbitMQ's, longer than what is left": b"\x01as\xff\x05",
    "a decimal of 255 places": b"\x01aD\xff\x00\x00\x00\x05",
    "a name that is no text": b"\x02\xff\xfet\x01",
    "a list in a name that is no text": b"\x02\xff\xfeA\x00\x00\x00\x02t\x01",
    "the same name twice": b"\x01at\x01\x01at\x00",
    "text that is no text": b"\x0btraceparentS\x00\x00\x00\x02\xff\xfe",
}


@pytest.mark.parametrize("headers", STRANGE_TABLES.values(), ids=STRANGE_TABLES)
@pytest.mark.parametrize(
    ("queue", "body"),
    [("catalog.create_product", LAMP), ("catalog.get_product", {"product_id": 4711})],
    ids=["command", "query"],
)
def test_headers_that_nobody_can_read_stop_nobody(
    system: System, publisher: PlainPublisher, headers: bytes, queue: str, body: dict[str, Any]
) -> None:
    publisher.send_forged(queue, body, headers, reply_to=publisher.reply_queue, correlation_id="forged")
    answer = publisher.answer()
    assert (answer.status, answer.properties.correlation_id) == (201 if body is LAMP else 404, "forged")
    assert can_create_product(publisher)


@pytest.mark.parametrize("correlation_id", [None, "", "c" * 255, "é" * 127, b"\xff\x00\xfe", b"\xff" * 255], ids=repr)
def test_a_correlation_id_comes_back_unchanged_or_not_at_all(
    system: System, publisher: PlainPublisher, correlation_id: Any
) -> None:
    answer = publisher.ask("catalog.create_product", LAMP, correlation_id=correlation_id)
    assert answer.status == 201
    assert answer.properties.correlation_id in (correlation_id, correlation_id or None)


# The service's other queues are no way around.


def test_what_is_published_into_the_quarantine_is_handled_like_any_message(
    system: System, publisher: PlainPublisher
) -> None:
    before = system.products()
    publisher.send("catalog.quarantine", LAMP)
    assert system.letters["catalog"].next().reason == "unknown-operation"
    publisher.send("catalog.quarantine", LAMP, headers={"origin-queue": "auth.register"})
    assert system.letters["catalog"].next().reason == "unknown-operation"
    answer = publisher.ask("catalog.quarantine", b"{", headers={"origin-queue": "catalog.create_product"})
    assert (answer.status, system.letters["catalog"].next().reason) == (400, "malformed-json")
    assert system.products() == before
    assert can_create_product(publisher)


def test_what_is_published_into_a_retry_queue_stops_no_retry(broker_url: str, tmp_path: Path) -> None:
    """In a system of its own, where nobody waits for what becomes of them."""
    with all_services(broker_url, tmp_path), closing(PlainPublisher(broker_url)) as publisher:
        for _ in range(50):
            publisher.send("catalog.retry.1s", LAMP)
            publisher.send("nobody", LAMP, exchange="catalog.retry.1s")
        answer = publisher.ask("catalog.create_product", LAMP, exchange="catalog.retry.1s")
        assert answer.status == 201


# Too much of it, and a name that is taken.


def test_more_than_the_queue_holds_is_refused_while_the_other_service_answers(broker_url: str, tmp_path: Path) -> None:
    bound = 100
    stopped = transport_for(broker_url, "declares")
    stopped.open(TransportOptions(declares=queues_of(catalog_service.operations.values(), Limits(queue_bound=bound))))
    assert stopped.wait_until_ready(RUN_SECONDS)
    stopped.close(RUN_SECONDS)
    database = Database(f"sqlite:///{tmp_path}/auth.db")
    migrate(database, "auth.migrations")
    with System(broker_url) as system, closing(PlainPublisher(broker_url)) as publisher:
        system.start(auth_service, database)
        taken = sum(_is_taken(publisher) for _ in range(3 * bound))
        assert bound <= taken < 2 * bound  # a quorum queue learns of its length a few messages late
        assert not _is_taken(publisher)
        assert publisher.ask("auth.ping", {}).status == 200


def _is_taken(publisher: PlainPublisher) -> bool:
    try:
        publisher.send("catalog.create_product", LAMP)
    except pika.exceptions.NackError:
        return False
    return True


def test_a_worker_whose_queue_is_taken_ends_with_one_clear_sentence(broker_url: str, tmp_path: Path) -> None:
    taken = transport_for(broker_url, "somebody")
    taken.open(TransportOptions(declares=[Queue("catalog.create_product", "query", bound=7)]))
    assert taken.wait_until_ready(RUN_SECONDS)
    taken.close(RUN_SECONDS)
    environment = {**os.environ, "BUS_URL": broker_url, "DATA_DIR": str(tmp_path), "LOG_LEVEL": "error"}
    bus = (sys.executable, "-m", "bus.cli")
    subprocess.run([*bus, "migrate", "catalog"], env=environment, timeout=RUN_SECONDS, check=True)
    worker = subprocess.run(
        [*bus, "worker", "catalog"], env=environment, timeout=RUN_SECONDS, check=False, capture_output=True, text=True
    )
    assert worker.returncode not in (0, -9)
    told = worker.stdout + worker.stderr
    assert "Traceback" not in told
    assert len([line for line in told.splitlines() if "catalog.create_product" in line]) == 1


def _nested(levels: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for _ in range(levels):
        table = {"a": table}
    return table
