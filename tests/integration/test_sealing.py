"""Sealing over a real broker: by our client, and by a publisher that has joserfc and nothing of ours."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwe import JWERegistry, encrypt_compact
from joserfc.jwk import ECKey
from sqlalchemy import select
from support.dead_letters import DeadLetterReader
from support.example_service import Broken, KeepSecret, Kept
from support.long_timeouts import use_long_timeouts
from support.plain_publisher import Answer, PlainPublisher

import auth.main
from auth import web
from auth.contract import Register
from auth.handlers import auth as auth_service
from auth.tables import user
from bus.client.client import Client
from bus.contract.builtin import ping_of
from bus.contract.codec import encode
from bus.contract.problems import Unavailable
from bus.contract.redaction import TEXT_DROPPED
from bus.database.engine import Database
from bus.database.inbox import outcome_of
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits, queues_of
from bus.messaging.transport import TransportOptions
from bus.security import key_store
from bus.security.key_store import forget, kept_keys, prepare_key, rotate
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.servers.postgres import find_database
from bus.testing.services import running
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

START_SECONDS = 60.0
STOP_SECONDS = 30.0
WORKERS = 8
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


class Accounts:
    """auth's database, and its workers on one broker, which can be stopped and started."""

    def __init__(self, bus_url: str, database_url: str) -> None:
        self.bus_url = bus_url
        self.database = Database(database_url)
        migrate(self.database, "auth.migrations")
        self._worker: Worker | None = None

    def start(self, *, require_sealed: bool = False) -> None:
        transport = transport_for(self.bus_url, "auth")
        self._worker = Worker(auth_service, transport, self.database, require_sealed=require_sealed)
        self._worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def stop(self) -> None:
        if self._worker is not None:
            self._worker.stop(STOP_SECONDS)
            self._worker = None

    def usernames(self) -> list[str]:
        with self.database.reading() as transaction:
            return list(transaction.connection.execute(select(user.c.username).order_by(user.c.id)).scalars())

    def is_done(self, message_id: str) -> bool:
        with self.database.reading() as transaction:
            return outcome_of(transaction.connection, "anonymous", message_id) is not None


@pytest.fixture(params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/auth.db"
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
def accounts(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Accounts]:
    """Running. A new key is given out at once: the one worker here looks for it when it must."""
    monkeypatch.setattr(key_store, "SETTLE_SECONDS", 0.0)
    accounts = Accounts(broker_url, f"sqlite:///{tmp_path}/auth.db")
    accounts.start()
    yield accounts
    accounts.stop()
    accounts.database.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


@pytest.fixture
def client(broker_url: str) -> Iterator[Client]:
    with Client(broker_url) as client:
        yield client


def _fields(name: str, **others: object) -> dict[str, Any]:
    return {"username": name, "email": f"{name}@example.com", **others}


def _register(name: str) -> Register:
    return Register(username=name, email=f"{name}@example.com", password=PASSWORD)


def _seal(key: dict[str, Any], fields: dict[str, Any], operation: str = "auth.register") -> str:
    """As docs/wire.md says, with joserfc alone: good for any message id."""
    header = {"alg": key["alg"], "enc": key["enc"], "kid": key["kid"], "op": operation}
    registry = JWERegistry(algorithms=[key["alg"], key["enc"]], strict_check_header=False)
    return encrypt_compact(header, json.dumps({"request": fields}), ECKey.import_key(key["jwk"]), registry=registry)


def _ask(publisher: PlainPublisher, name: str, key: dict[str, Any], **properties: Any) -> Answer:
    return publisher.ask("auth.register", _sealed_fields(name, key), **properties)


def _sealed_fields(name: str, key: dict[str, Any], operation: str = "auth.register") -> dict[str, Any]:
    return _fields(name, sealed=_seal(key, _fields(name, password=PASSWORD), operation))


class Tapped:
    """A transport that remembers the bodies it was given to publish."""

    def __init__(self, url: str) -> None:
        self._transport = transport_for(url, "tapped")
        self.bodies: list[tuple[str, bytes]] = []

    def publish(self, message: Any, *rest: Any) -> None:
        self.bodies.append((message.queue, message.body))
        self._transport.publish(message, *rest)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_a_front_end_seals_what_it_passes_on(accounts: Accounts) -> None:
    tapped = Tapped(accounts.bus_url)
    with Client(tapped) as client:  # type: ignore[arg-type]
        answer = web.create_app(client).test_client().post("/register", json=_fields("ann", password=PASSWORD))
    assert answer.status_code == 201
    bodies = [json.loads(body) for queue, body in tapped.bodies if queue == "auth.register"]
    assert [body.keys() for body in bodies] == [{"username", "email", "sealed"}]
    assert PASSWORD.encode() not in b"".join(body for _, body in tapped.bodies)


def test_a_client_asks_for_the_key_once(accounts: Accounts) -> None:
    tapped = Tapped(accounts.bus_url)
    with Client(tapped) as client:  # type: ignore[arg-type]
        client.call(_register("ann"))
        client.send(_register("ben"), message_id="2")
        wait_until(lambda: accounts.is_done("2"), STOP_SECONDS, "ben is registered")
    assert [queue for queue, _ in tapped.bodies].count("auth.get_sealing_key") == 1
    assert accounts.usernames() == ["ann", "ben"]


def test_a_client_that_must_not_seal_does_not(accounts: Accounts) -> None:
    tapped = Tapped(accounts.bus_url)
    with Client(tapped, seal=False) as client:  # type: ignore[arg-type]
        client.call(_register("ann"))
    assert tapped.bodies[-1] == ("auth.register", encode(_register("ann")))


def test_a_publisher_seals_with_nothing_of_ours(accounts: Accounts, publisher: PlainPublisher) -> None:
    key = publisher.call("auth.get_sealing_key")
    assert key.keys() == {"kid", "alg", "enc", "jwk", "signature"}
    assert key["jwk"].keys() == {"kty", "crv", "x", "y"}
    answer = _ask(publisher, "ann", key)
    assert (answer.status, accounts.usernames()) == (201, ["ann"])


def test_a_request_sealed_anew_is_the_same_request(accounts: Accounts, publisher: PlainPublisher) -> None:
    key = publisher.call("auth.get_sealing_key")
    answers = [_ask(publisher, "ann", key, message_id="1") for _ in range(2)]
    answers.append(publisher.ask("auth.register", _fields("ann", password=PASSWORD), message_id="1"))
    assert [answer.status for answer in answers] == [201, 201, 201]
    assert len({answer.body for answer in answers}) == 1


def test_a_seal_for_another_operation_is_refused(accounts: Accounts, publisher: PlainPublisher) -> None:
    key = publisher.call("auth.get_sealing_key")
    answer = publisher.ask("auth.register", _sealed_fields("ann", key, "auth.log_in"))
    assert (answer.status, answer.code) == (422, "unsealable")


def test_a_sealed_password_pasted_into_another_command_is_refused(
    accounts: Accounts, publisher: PlainPublisher
) -> None:
    tapped = Tapped(accounts.bus_url)
    with Client(tapped) as client:  # type: ignore[arg-type]
        client.call(_register("ann"), message_id="1")
    body = json.loads(tapped.bodies[-1][1])
    for fields, message_id in (({**body, "username": "eve"}, "1"), (body, "2"), (body, None)):
        answer = publisher.ask("auth.register", fields, message_id=message_id)
        assert (answer.status, answer.code) == (422, "unsealable")
    assert publisher.ask("auth.register", body, message_id="1").status == 201
    assert accounts.usernames() == ["ann"]


def test_a_key_that_another_program_hands_out_is_refused(accounts: Accounts) -> None:
    pinned = {"auth": key_store.identity(accounts.database)}
    with Client(accounts.bus_url, identities=pinned) as client:
        client.call(_register("ann"))
    with Client(accounts.bus_url, identities={"auth": "A" * 43}) as client, pytest.raises(Unavailable) as refused:
        client.call(_register("ben"))
    assert refused.value.problem.code == "no-sealing-key"
    assert accounts.usernames() == ["ann"]


def test_plain_secrets_are_taken_unless_seals_are_required(accounts: Accounts, publisher: PlainPublisher) -> None:
    assert publisher.ask("auth.register", _fields("ann", password=PASSWORD)).status == 201
    accounts.stop()
    accounts.start(require_sealed=True)
    answer = publisher.ask("auth.register", _fields("ben", password=PASSWORD))
    assert (answer.status, answer.code) == (422, "sealing-required")
    assert PASSWORD.encode() not in answer.body
    assert _ask(publisher, "ben", publisher.call("auth.get_sealing_key")).status == 201


def test_what_was_sealed_before_a_rotation_is_opened_after_it(accounts: Accounts, client: Client) -> None:
    client.call(_register("ann"))
    accounts.stop()
    client.send(_register("ben"), message_id="2")
    rotate(accounts.database)
    client.send(_register("cleo"), message_id="3")
    accounts.start()
    wait_until(lambda: accounts.is_done("2") and accounts.is_done("3"), STOP_SECONDS, "both are registered")
    assert sorted(accounts.usernames()) == ["ann", "ben", "cleo"]


def test_a_running_worker_finds_a_new_key(accounts: Accounts, client: Client, publisher: PlainPublisher) -> None:
    client.call(_register("ann"))
    kid = rotate(accounts.database)
    key = publisher.call("auth.get_sealing_key")
    assert key["kid"] == kid
    wait_until(lambda: _ask(publisher, "ben", key).status == 201, STOP_SECONDS, "the worker looks again")


def test_a_client_whose_key_was_deleted_asks_for_another_and_sends_again(accounts: Accounts) -> None:
    tapped = Tapped(accounts.bus_url)
    with Client(tapped) as client:  # type: ignore[arg-type]
        client.call(_register("ann"))
        (old,) = kept_keys(accounts.database)
        rotate(accounts.database)
        forget(accounts.database, old.kid)
        accounts.stop()
        accounts.start()
        client.call(_register("ben"), message_id="2")
    asked = [queue for queue, _ in tapped.bodies if queue != "auth.ping"]
    assert asked[-3:] == ["auth.register", "auth.get_sealing_key", "auth.register"]
    assert accounts.usernames() == ["ann", "ben"]


def test_a_publisher_with_a_deleted_key_is_told_so(accounts: Accounts, publisher: PlainPublisher) -> None:
    key = publisher.call("auth.get_sealing_key")
    rotate(accounts.database)
    forget(accounts.database, key["kid"])
    answer = _ask(publisher, "ann", key)
    assert (answer.status, answer.code) == (422, "unknown-sealing-key")


def test_a_dead_letter_with_a_seal_is_whole_and_can_be_sent_again(
    accounts: Accounts, publisher: PlainPublisher
) -> None:
    body = _sealed_fields("ann", publisher.call("auth.get_sealing_key"))
    publisher.send("auth.register", body, message_id="1", content_type="application/json")
    wait_until(lambda: accounts.is_done("1"), STOP_SECONDS, "ann is registered")
    publisher.send("auth.register", body, message_id="2")
    letter = DeadLetterReader(accounts.database).next()
    assert (letter.reason, letter.whole) == ("refused", True)
    assert json.loads(letter.body) == body
    again = publisher.ask("auth.register", letter.body, message_id="3")
    assert (again.status, again.code) == (409, "auth.email_taken")


def test_a_sealed_command_waits_for_a_database_that_is_away(broker_url: str, client: Client) -> None:
    """A worker that has just started must read the key there first."""
    with find_database() as server:
        accounts = Accounts(broker_url, server.fresh_database())
        accounts.start()
        client.call(_register("ann"))
        accounts.stop()
        client.send(_register("ben"), message_id="2")
        server.stop(immediate=True)
        accounts.start()
        with pytest.raises(Unavailable) as away:
            client.call(ping_of("auth")())
        assert away.value.problem.code == "database-away"
        server.start()
        wait_until(lambda: accounts.is_done("2"), START_SECONDS, "ben is registered")
        assert accounts.usernames() == ["ann", "ben"]
        accounts.stop()
        accounts.database.close()


def test_what_a_failing_handler_says_of_a_secret_is_in_no_log_and_no_dead_letter(
    broker_url: str, database: Database, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    service = Service("example")

    @service.handles(KeepSecret)
    def keep_secret(command: KeepSecret, work: Work) -> Kept:
        raise Broken(f"no {command.password!r} today")

    transport = transport_for(broker_url, "example")
    worker = Worker(service, transport, database, Limits(retry_seconds=()))
    worker.start()
    assert transport.wait_until_ready(START_SECONDS)
    client.send(KeepSecret(word="lamp", password=PASSWORD))
    letter = DeadLetterReader(database).next()
    worker.stop(STOP_SECONDS)
    printed = "".join(capfd.readouterr())
    assert "handler_failed" in printed
    assert "raise Broken(" in printed
    assert (letter.reason, letter.error_class, letter.detail) == ("fault", "Broken", TEXT_DROPPED)
    assert PASSWORD not in printed + repr(letter)


def test_without_a_worker_there_is_no_key_and_nothing_is_sent(broker_url: str) -> None:
    """`send` asks nobody whether a worker lives, but for a key it must."""
    declaring = transport_for(broker_url, "declares")
    declaring.open(TransportOptions(declares=queues_of(auth_service.operations.values())))
    assert declaring.wait_until_ready(START_SECONDS)
    tapped = Tapped(broker_url)
    with Client(tapped) as client:  # type: ignore[arg-type]
        assert tapped.wait_until_ready(START_SECONDS)
        with pytest.raises(Unavailable) as unavailable:
            client.send(_register("ann"), timeout=0.5)
    declaring.close(STOP_SECONDS)
    assert unavailable.value.problem.code == "no-sealing-key"
    assert [queue for queue, _ in tapped.bodies] == ["auth.get_sealing_key"]


def test_the_embedded_broker_seals_alike() -> None:
    with running(auth.main.application) as client:
        assert client.call(_register("ann")).user.username == "ann"


def test_workers_that_start_at_the_same_moment_agree_on_one_key(any_url: str) -> None:
    databases = [Database(any_url) for _ in range(WORKERS)]
    migrate(databases[0], "auth.migrations")
    together = threading.Barrier(WORKERS)

    def start(database: Database) -> None:
        together.wait(START_SECONDS)
        prepare_key(database)

    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(start, databases))
    (key,) = kept_keys(databases[0])
    assert key.retired_at is None
    with ThreadPoolExecutor(WORKERS) as operators:
        list(operators.map(rotate, databases))
    assert [kept.retired_at is None for kept in kept_keys(databases[0])].count(True) == 1
    for database in databases:
        database.close()
