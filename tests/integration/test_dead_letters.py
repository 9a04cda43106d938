"""`bus dead-letters` on a real broker, with a worker whose handler is fixed later."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from click.testing import CliRunner, Result
from pika.adapters.blocking_connection import BlockingChannel
from sqlalchemy import func, select, update
from support.dead_letters import LETTER_KEY, letters_in, store_dead_letters, wait_for_letters

import bus.cli.dead_letters_replay
from auth.handlers import auth
from bus.cli import bus as command
from bus.client.client import Client
from bus.contract.operator.actions import ActionKind
from bus.contract.operator.dead_letters import (
    BodyNotAcceptable,
    DeadLetterFilter,
    DeadLettersTaken,
    GetDeadLetter,
    TakeDeadLetters,
)
from bus.contract.operator.operations import operator_operations
from bus.contract.refusals import Refused
from bus.database.engine import Database
from bus.database.inbox import outcome_of
from bus.database.migrate import migrate
from bus.database.tables import dead_letter as table
from bus.dead_letters.envelope import dead_letter
from bus.dead_letters.queries import newest
from bus.messaging.connect import transport_for
from bus.messaging.message import Message
from bus.messaging.topology import Limits
from bus.security.operators import Operator
from bus.service.service import Service
from bus.service.work import Work
from bus.telemetry.logs import configure_logs
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct, ProductCreated
from catalog.handlers import catalog
from catalog.handlers.products import create_product
from catalog.handlers.service import CatalogSettings
from catalog.tables import product

START_SECONDS = 60.0
DONE_SECONDS = 60.0
# A process of its own, with all its imports, on a busy machine.
PROCESS_SECONDS = 60.0
STOP_SECONDS = 10.0

# A command whose handler fails is a dead letter at once.
NO_RETRIES = Limits(retry_seconds=())

TOKEN = "the operator token of this installation"

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}


class Shop:
    """The catalog with a handler that fails until `mended` is set, and the command `bus dead-letters` for it."""

    def __init__(self, url: str, database_url: str) -> None:
        self.url = url
        self.environment = {"BUS_URL": url, "BUS_OPERATOR_TOKEN": TOKEN}
        self.database = Database(database_url)
        self.mended = threading.Event()
        migrate(self.database, "catalog.migrations")
        self.service = self._service()
        self._worker: Worker | None = None

    def start(self) -> None:
        configure_logs("error")  # unconfigured, the worker's lines would be among what a command prints meanwhile
        transport = transport_for(self.url, "catalog")
        self._worker = Worker(self.service, transport, self.database, NO_RETRIES, operator_token=TOKEN)
        self._worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.stop(STOP_SECONDS)
        self.database.close()

    def bus(self, *arguments: object) -> Result:
        """Run `bus dead-letters …` in this process; without a terminal it does not ask for confirmation."""
        return CliRunner().invoke(command, ["dead-letters", *map(str, arguments)], env=self.environment)

    def json(self, *arguments: object) -> Any:
        """Run it with --json; what it printed."""
        result = self.bus(*arguments, "--json")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return json.loads(result.stdout)

    def process(self, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Run the same in a separate process."""
        return subprocess.Popen(
            [sys.executable, "-m", "bus.cli", "dead-letters", *map(str, arguments)],
            env={**os.environ, **self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def dead_letter(self, *message_ids: str, body: object = LAMP, queue: str = "catalog.create_product") -> None:
        """Store dead letters as a worker does."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        requests = (Message(queue=queue, body=raw, message_id=each or None) for each in message_ids)
        letters = [
            dead_letter(each, "catalog", each.body, key=LETTER_KEY, reason="fault", detail="Why.") for each in requests
        ]
        store_dead_letters(self.database, catalog, *letters)

    def states(self) -> list[str]:
        return [letter.state for letter in letters_in(self.database)]

    def products(self) -> int:
        with self.database.reading() as transaction:
            return int(transaction.connection.execute(select(func.count()).select_from(product)).scalar_one())

    def wait_for_products(self, count: int) -> None:
        wait_until(lambda: self.products() >= count, DONE_SECONDS, f"{count} products")
        assert self.products() == count

    def _service(self) -> Service:
        service = Service("catalog", settings=CatalogSettings)

        @service.handles(CreateProduct)
        def create(request: CreateProduct, work: Work) -> ProductCreated:
            if not self.mended.is_set():
                raise RuntimeError("not mended yet")
            (reply,) = create_product([request], work)
            assert isinstance(reply, ProductCreated)
            return reply

        return service


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, broker_url: str, tmp_path: Path) -> Iterator[Shop]:
    """On both kinds of database in turn, with the worker running."""
    on_sqlite = request.param == "sqlite"
    shop = Shop(broker_url, f"sqlite:///{tmp_path}/shop.db" if on_sqlite else request.getfixturevalue("database_url"))
    shop.start()
    yield shop
    shop.close()


@pytest.fixture
def sqlite_shop(broker_url: str, tmp_path: Path) -> Iterator[Shop]:
    """With the worker running and mended, for what does not depend on the database."""
    shop = Shop(broker_url, f"sqlite:///{tmp_path}/shop.db")
    shop.mended.set()
    shop.start()
    yield shop
    shop.close()


def _send(shop: Shop, *message_ids: str) -> None:
    with Client(shop.url, name="test") as client:
        for message_id in message_ids:
            client.send(CreateProduct(name="Lamp", price=1, quantity=1), message_id=message_id)  # type: ignore[arg-type]


# Sent again.


def test_a_command_that_died_of_a_bug_is_done_once_when_the_bug_is_mended(shop: Shop) -> None:
    _send(shop, "order-1", "order-2")
    wait_for_letters(shop.database, 2)
    (group,) = shop.json("list", "catalog")
    assert (group["operation"], group["reason"], group["count"]) == ("catalog.create_product", "fault", 2)
    shop.mended.set()
    assert shop.json("replay", "catalog", "--operation", "catalog.create_product") == {
        "action": 1,
        "replayed": 2,
        "skipped": [],
    }
    shop.wait_for_products(2)
    assert shop.states() == ["replayed", "replayed"]
    assert shop.json("replay", "catalog", "--all")["replayed"] == 0
    _send(shop, "order-1", "order-2")  # the sender tries again: the inbox has it
    _send(shop, "order-3")
    shop.wait_for_products(3)
    told = CliRunner().invoke(command, ["request", "order-1"], env=shop.environment).output.splitlines()
    verdict = "catalog.create_product of a caller without an account: the answer is 201 Created"
    assert told[1] == f"done     catalog      {verdict}"
    story = [line[21:].split(maxsplit=1)[1] for line in told if line[:2] == "20"]
    assert [line.split(" ")[0] for line in story[:3]] == ["Try", "catalog.create_product", "Action"]
    assert "RuntimeError: not mended yet" in told[3]
    assert any("was carried out and committed; the answer is 201 Created" in line for line in story)
    assert any("The event catalog.product_changed" in line for line in story)
    (attempt,) = shop.json("show", "catalog", "1")["attempts"]
    assert (attempt["error_class"], attempt["retry_seconds"]) == ("RuntimeError", None)
    assert "RuntimeError: not mended yet" in shop.bus("show", "catalog", "1").output


def test_a_command_that_dies_again_is_another_letter(shop: Shop) -> None:
    _send(shop, "order-1")
    wait_for_letters(shop.database, 1)
    assert shop.json("replay", "catalog", "--error", "fault")["replayed"] == 1
    wait_for_letters(shop.database, 2)
    assert shop.states() == ["replayed", "dead"]


def test_a_command_without_an_id_has_one_effect_however_often_it_is_sent_again(sqlite_shop: Shop) -> None:
    sqlite_shop.dead_letter("", "last")
    letter = letters_in(sqlite_shop.database)[0]
    for _ in range(2):
        assert sqlite_shop.json("replay", "catalog", "--id", letter.id)["replayed"] == 1
        with sqlite_shop.database.transaction() as transaction:
            transaction.connection.execute(update(table).where(table.c.id == letter.id).values(state="dead"))
    assert sqlite_shop.json("show", "catalog", letter.id)["replayed_as"] == letter.letter_id
    sqlite_shop.bus("replay", "catalog", "--id", "last")
    sqlite_shop.wait_for_products(2)


def test_another_body_is_another_command_and_is_checked_first(sqlite_shop: Shop, tmp_path: Path) -> None:
    sqlite_shop.dead_letter("order-1", body={**LAMP, "price": -1})
    wrong = sqlite_shop.bus("replay", "catalog", "--id", "order-1", "--body", json.dumps({**LAMP, "price": -2}))
    assert wrong.exit_code == 2
    assert "price: Expected a number from 0" in wrong.output
    assert sqlite_shop.states() == ["dead"]
    (tmp_path / "lamp.json").write_text(json.dumps(LAMP))
    assert sqlite_shop.json("replay", "catalog", "--id", "order-1", "--body", f"@{tmp_path}/lamp.json")["replayed"] == 1
    sqlite_shop.wait_for_products(1)
    letter = sqlite_shop.json("show", "catalog", "order-1")
    assert letter["replayed_as"] == f"{letter['letter_id']}-1"


def test_what_cannot_be_sent_again_is_said_and_left(sqlite_shop: Shop) -> None:
    sqlite_shop.dead_letter("query", queue="catalog.get_product")
    sqlite_shop.dead_letter("lost", queue="catalog.gone")
    sqlite_shop.dead_letter("long", body=b"x" * 300_000)
    sqlite_shop.dead_letter("good")
    result = sqlite_shop.bus("replay", "catalog", "--all")
    assert result.exit_code == 1
    assert result.output.count("cannot be sent again") == 3
    sqlite_shop.wait_for_products(1)
    assert sqlite_shop.states() == ["dead", "dead", "dead", "replayed"]
    assert sqlite_shop.json("replay", "catalog", "--id", "long", "--body", json.dumps(LAMP))["skipped"] == []
    sqlite_shop.wait_for_products(2)


@contextmanager
def _working(url: str, service: Service, database: Database) -> Iterator[None]:
    """Run a worker."""
    transport = transport_for(url, service.name)
    worker = Worker(service, transport, database, operator_token=TOKEN)
    worker.start()
    assert transport.wait_until_ready(START_SECONDS)
    try:
        yield
    finally:
        worker.stop(STOP_SECONDS)


def _take(client: Client, service: str, *, kind: ActionKind, which: str, body: str) -> DeadLettersTaken:
    request = operator_operations(service)[TakeDeadLetters](kind=kind, filter=DeadLetterFilter(which=which), body=body)
    taken: DeadLettersTaken = client.call(request, token=Operator("ann@here", TOKEN))
    return taken


def _waiting(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


def _is_done(database: Database, message_id: str) -> bool:
    with database.reading() as transaction:
        answer = outcome_of(transaction.connection, "anonymous", message_id)
    return answer is not None and answer.status == 201


def test_what_the_broker_moved_is_a_letter_and_can_be_sent_again(broker_url: str, tmp_path: Path) -> None:
    shop = Shop(broker_url, f"sqlite:///{tmp_path}/shop.db")
    shop.mended.set()
    with _working(broker_url, shop.service, shop.database):
        pass  # to have the queues
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        properties = pika.BasicProperties(expiration="1", message_id="order-1", delivery_mode=2)
        for _ in range(2):  # the second has the first one's id, and is a message all the same
            connection.channel().basic_publish("", "catalog.create_product", json.dumps(LAMP).encode(), properties)
        dead = connection.channel()
        wait_until(lambda: _waiting(dead, "catalog.dead") == 2, DONE_SECONDS, "the broker has moved them")
    with _working(broker_url, shop.service, shop.database):
        letters = wait_for_letters(shop.database, 2)
        assert {(each.operation, each.reason, each.message_id) for each in letters} == {
            ("catalog.create_product", "expired", "order-1")
        }
        assert shop.json("replay", "catalog", "--error", "expired")["replayed"] == 2
        wait_until(lambda: _is_done(shop.database, "order-1"), DONE_SECONDS, "the worker has done it")
        shop.wait_for_products(1)
    shop.close()


# Frozen, slow, interrupted.


def test_what_arrives_after_the_list_was_shown_is_not_sent(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite_shop.dead_letter("order-1")

    def confirm_slowly(*_: object, **__: object) -> None:
        sqlite_shop.dead_letter("order-2")

    monkeypatch.setattr(bus.cli.dead_letters_replay, "confirm", confirm_slowly)
    assert sqlite_shop.json("replay", "catalog", "--all")["replayed"] == 1
    sqlite_shop.wait_for_products(1)
    assert sqlite_shop.states() == ["replayed", "dead"]


def test_an_interrupted_replay_says_how_to_go_on_and_goes_on(sqlite_shop: Shop) -> None:
    sqlite_shop.dead_letter(*(f"{number}" for number in range(5)))
    run = sqlite_shop.process("replay", "catalog", "--all", "--rate", "0.1")
    wait_until(lambda: "replayed" in sqlite_shop.states(), PROCESS_SECONDS, "the first letter is sent")
    run.send_signal(signal.SIGINT)
    output, _ = run.communicate(timeout=PROCESS_SECONDS)
    assert run.returncode == 130, output
    assert "1 sent, 4 left. Resume with: bus dead-letters replay catalog --resume 1" in output
    assert sorted(sqlite_shop.states()) == ["chosen"] * 4 + ["replayed"]
    assert sqlite_shop.json("replay", "catalog", "--all")["replayed"] == 0
    assert sqlite_shop.json("replay", "catalog", "--resume", "1") == {"action": 1, "replayed": 4, "skipped": []}
    sqlite_shop.wait_for_products(5)
    (action,) = sqlite_shop.json("actions", "catalog")
    assert (action["taken"], action["left"], action["chosen_by"]) == (5, 0, "--all")


def test_two_replays_at_once_send_every_letter_once(shop: Shop) -> None:
    shop.mended.set()
    shop.dead_letter(*(f"{number}" for number in range(20)))
    runs = [shop.process("replay", "catalog", "--all", "--json") for _ in range(2)]
    outputs = [run.communicate(timeout=PROCESS_SECONDS)[0] for run in runs]
    assert sum(json.loads(output)["replayed"] for output in outputs) == 20, outputs
    shop.wait_for_products(20)


def test_growing_batches_stop_when_one_fails_again_and_go_on_once_it_is_mended(sqlite_shop: Shop) -> None:
    sqlite_shop.mended.clear()
    sqlite_shop.dead_letter(*(f"{number}" for number in range(15)))
    result = sqlite_shop.bus("replay", "catalog", "--all", "--growing")
    assert result.exit_code == 1
    assert "1 of the letters became a dead letter again" in result.output
    assert "1 sent, 14 left" in result.output
    assert sqlite_shop.states().count("chosen") == 14
    sqlite_shop.mended.set()
    assert sqlite_shop.json("replay", "catalog", "--resume", 1, "--growing")["replayed"] == 14
    assert sqlite_shop.json("replay", "catalog", "--all")["replayed"] == 1
    sqlite_shop.wait_for_products(15)


def test_a_letter_whose_password_was_cut_asks_for_another_body_and_that_is_sealed(
    broker_url: str, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{tmp_path}/auth.db")
    migrate(database, "auth.migrations")
    account = {"username": "ann", "email": "ann@example.com", "password": "[secret]"}
    request = Message(queue="auth.register", body=json.dumps(account).encode(), message_id="1")
    store_dead_letters(
        database, auth, dead_letter(request, "auth", request.body, key=LETTER_KEY, reason="fault", detail="")
    )
    environment = {"BUS_URL": broker_url, "BUS_OPERATOR_TOKEN": TOKEN}
    body = json.dumps({**account, "password": "correct horse battery"})
    with _working(broker_url, auth, database):
        result = CliRunner().invoke(command, ["dead-letters", "replay", "auth", "--all"], env=environment)
        assert result.exit_code == 1
        assert "secrets were cut from its body" in result.output
        assert letters_in(database)[0].state == "dead"
        with Client(broker_url, seal=False) as client, pytest.raises(BodyNotAcceptable, match="Seal its secrets"):
            _take(client, "auth", kind="edit", which="1", body=body)
        arguments = ["dead-letters", "replay", "auth", "--id", "1", "--body", body]
        result = CliRunner().invoke(command, arguments, env=environment)
        assert result.exit_code == 0, result.output
        with database.reading() as transaction:
            letter = newest(transaction.connection, "1")
        assert letter is not None
        wait_until(lambda: _is_done(database, letter.replayed_as or ""), DONE_SECONDS, "it is done")
    assert letters_in(database)[0].state == "replayed"
    database.close()


# Seen and decided.


def test_letters_are_listed_counted_shown_and_discarded(sqlite_shop: Shop) -> None:
    sqlite_shop.dead_letter("order-1", "-order-2", body=b"\x1b[2J\x9b\xc2\x9b{")
    sqlite_shop.dead_letter("order-3")
    listed = sqlite_shop.bus("list", "catalog", "--each").output.splitlines()
    assert listed[0].split() == ["LETTER", "OPERATION", "REASON", "ERROR", "DIED", "MESSAGE", "ID"]
    assert listed[1].split()[:3] == ["1", "catalog.create_product", "fault"]
    shown = sqlite_shop.bus("show", "catalog", "1").output
    assert "\x1b" not in shown  # a terminal would obey it
    assert "\x9b" not in shown
    lines = shown.split("\n\n")[0].splitlines()
    assert len({line.index(line[21:].split()[0], 21) for line in lines}) == 1, lines
    assert all(line[19:21] == "  " for line in lines)
    assert '  "name": "Lamp"' in sqlite_shop.bus("show", "catalog", "3").output
    assert sqlite_shop.json("show", "catalog", "order-3")["body"] == LAMP
    assert sqlite_shop.json("show", "catalog", "-order-2")["message_id"] == "-order-2"
    assert sqlite_shop.bus("show", "catalog", "4").exit_code == 2
    assert sqlite_shop.bus("list", "catalog", "--since", "1h").output.count("catalog.create_product") == 1
    assert sqlite_shop.bus("list", "catalog", "--state", "replayed").output == "No dead letters.\n"
    for action in ("replay", "discard"):
        dry = sqlite_shop.bus(action, "catalog", "--all", "--dry-run")
        assert (dry.exit_code, "order-1" in dry.output, "Would" in dry.output) == (0, True, True)
    found = sqlite_shop.json("replay", "catalog", "--all", "--dry-run")
    assert (found["action"], found["replayed"], found["would_replay"]) == (None, 0, 3)
    assert [letter["message_id"] for letter in found["letters"]] == ["order-1", "-order-2", "order-3"]
    assert sqlite_shop.json("discard", "catalog", "--all", "--dry-run")["would_discard"] == 3
    assert sqlite_shop.json("actions", "catalog") == []
    assert sqlite_shop.json("discard", "catalog", "--id", "order-1", "--reason", "a test") == {
        "action": 1,
        "discarded": 1,
    }
    assert sqlite_shop.states() == ["discarded", "dead", "dead"]
    actions = sqlite_shop.bus("actions", "catalog").output.splitlines()
    assert actions[1].split()[:2] == ["1", "discard"]
    assert actions[1].endswith("--id order-1  a test")
    assert sqlite_shop.json("discard", "catalog", "--id", "order-1") == {"action": None, "discarded": 0}


def test_without_a_service_the_dead_letters_of_all_are_listed(sqlite_shop: Shop, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/auth.db")
    migrate(database, "auth.migrations")
    sqlite_shop.dead_letter("order-1", "order-2")
    with _working(sqlite_shop.url, auth, database):
        assert "catalog  catalog.create_product  fault" in sqlite_shop.bus("list").output
        (group,) = sqlite_shop.json("list")
        assert (group["service"], group["count"]) == ("catalog", 2)
        listed = sqlite_shop.bus("list", "--each", "--state", "any").output.splitlines()
    assert listed[0].split() == ["SERVICE", "LETTER", "STATE", "OPERATION", "REASON", "ERROR", "DIED", "MESSAGE", "ID"]
    assert [line.split()[:3] for line in listed[1:]] == [["catalog", "1", "dead"], ["catalog", "2", "dead"]]
    database.close()


def test_who_is_no_operator_is_refused(sqlite_shop: Shop, tmp_path: Path) -> None:
    sqlite_shop.dead_letter("order-1")
    sqlite_shop.environment["BUS_OPERATOR_TOKEN"] = "the token of another installation"
    result = sqlite_shop.bus("discard", "catalog", "--all")
    assert result.exit_code == 2
    assert "sign it with this installation's operator token" in result.output
    sqlite_shop.environment |= {"BUS_OPERATOR_TOKEN": "", "DATA_DIR": str(tmp_path / "empty")}
    assert "There is no operator token. Set BUS_OPERATOR_TOKEN" in sqlite_shop.bus("list", "catalog").output
    with Client(sqlite_shop.url) as client, pytest.raises(Refused, match="sign it"):
        client.call(operator_operations("catalog")[GetDeadLetter](which="order-1"))
    assert sqlite_shop.states() == ["dead"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("replay", "catalog"), "Give a filter"),
        (("discard", "catalog", "--limit", "1"), "Give a filter"),
        (("list", "catalog", "--since", "yesterday"), "--since"),
        (("list", "catalog", "--since", "999999d"), "--since"),
        (("replay", "catalog", "--resume", "7", "--all"), "give no filter"),
        (("list", "nothing"), "There is no service 'nothing'"),
        (("list", "catalog"), "The embedded broker can only be used inside `bus run`"),
    ],
)
def test_a_wrong_use_is_said(arguments: tuple[str, ...], error: str) -> None:
    environment = {"BUS_URL": "memory://", "BUS_OPERATOR_TOKEN": TOKEN}
    result = CliRunner().invoke(command, ["dead-letters", *arguments], env=environment)
    assert result.exit_code == 2
    assert error in result.output


def test_another_body_is_for_one_letter_and_a_resumed_replay_needs_its_action(sqlite_shop: Shop) -> None:
    sqlite_shop.dead_letter("order-1", "order-2")
    for arguments in (("--all",), ("--id", "nobody")):
        result = sqlite_shop.bus("replay", "catalog", *arguments, "--body", json.dumps(LAMP))
        assert result.exit_code == 2
        assert "--body is for one dead letter" in result.output
    assert sqlite_shop.bus("replay", "catalog", "--resume", "7").exit_code == 2
    assert sqlite_shop.states() == ["dead", "dead"]
