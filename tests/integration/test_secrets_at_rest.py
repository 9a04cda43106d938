"""No secret rests readable: a search of every byte that is left behind, with a search that finds what is there."""

import json
import os
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pika
import pyotp
import pytest
import requests
from sqlalchemy import select
from sqlalchemy.engine import make_url
from support.dead_letters import DeadLetterReader
from support.long_timeouts import use_long_timeouts
from support.mailbox import Mailbox, text_of, token_in
from support.otlp_collector import collecting
from support.secret_markers import SecretMarker, columns_with, files_with

from auth.contract import EndOtherSessions, Register
from auth.handlers import auth
from auth.tables import signing_key
from bus.client.client import Client
from bus.database.encryption import key_of_this_process
from bus.database.engine import Database
from bus.database.inbox import outcome_of
from bus.database.migrate import migrate
from bus.database.tables import service_key
from bus.messaging.connect import transport_for
from bus.messaging.topology import queues_of
from bus.messaging.transport import TransportOptions
from bus.security.key_store import read_keys
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres import find_database
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.testing.waiting import wait_until

START_SECONDS = 90.0
STOP_SECONDS = 60.0
ANSWER_SECONDS = 60.0

# `bus` with a front end that trusts a sign of life, and waits for a ping, longer than a machine stands still.
PATIENT_BUS = """
from bus.client import liveness
from bus.cli import main

liveness.FRESH_SECONDS = liveness.PING_SECONDS = 60.0
main()
"""


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """One of our own, whose disk can be read."""
    try:
        broker = find_broker("process")
    except ProvisioningFailed as reason:
        if "CI" in os.environ:
            pytest.fail(f"a RabbitMQ whose disk can be read is expected in CI: {reason}", pytrace=False)
        pytest.skip(f"NOT TESTED WITHOUT A RABBITMQ WHOSE DISK CAN BE READ: {reason}")
    with broker:
        yield broker


class Programs:
    """auth's worker and front end as processes, with everything they print in files of one folder."""

    def __init__(self, folder: Path, bus_url: str, database_url: str, **settings: str) -> None:
        self.folder = folder
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "AUTH_", "CATALOG_"))},
            "BUS_URL": bus_url,
            "AUTH_DATABASE_URL": database_url,
            "AUTH_DATABASE_KEY": key_of_this_process(),
            "AUTH_PORT": str(port),
            "LOG_LEVEL": "debug",
            **settings,
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for role in list(self._running):
            self.stop(role)

    def start(self, role: str) -> None:
        with (self.folder / f"{role}.log").open("ab") as log:
            command = [sys.executable, "-c", PATIENT_BUS, role, "auth"]
            self._running[role] = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def run(self, *command: str) -> str:
        """Run a command of `bus` to its end; what it printed."""
        return subprocess.run(
            [sys.executable, "-m", "bus.cli", *command],
            env=self._environment,
            check=True,
            timeout=START_SECONDS,
            capture_output=True,
            text=True,
        ).stdout

    def stop(self, role: str) -> None:
        self._running[role].terminate()
        self._running.pop(role).wait(STOP_SECONDS)

    def kill(self, role: str) -> None:
        self._running[role].kill()
        self._running.pop(role).wait(STOP_SECONDS)

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:  # also of a server that takes connections before it is up
            return False

    def post(self, path: str, headers: dict[str, str] | None = None, **fields: str) -> requests.Response:
        return requests.post(f"{self.url}/{path}", json=fields, headers=headers, timeout=ANSWER_SECONDS)

    def register(self, name: str, marker: SecretMarker, **headers: str) -> requests.Response:
        fields = {"username": name, "email": f"{name}@example.com", "password": marker.password}
        return requests.post(f"{self.url}/register", json=fields, headers=headers, timeout=ANSWER_SECONDS)


def _register(name: str, marker: SecretMarker) -> Register:
    return Register(username=name, email=f"{name}@example.com", password=marker.password)


def _queue(url: str, queue: str) -> Any:
    """What the broker tells of a queue: `message_count` of those that nobody has taken, and `consumer_count`."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    told = connection.channel().queue_declare(queue, passive=True).method
    connection.close()
    return told


def _reject_one(url: str, queue: str) -> None:
    """Take a message off the queue and refuse it: the broker itself puts it into the dead letters, whole."""
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    method, _, _ = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=False)
    connection.close()


def _kill_worker_before_it_registers(
    programs: Programs, database: Database, url: str, name: str, marker: SecretMarker
) -> None:
    with database.transaction() as transaction:
        transaction.connection.exec_driver_sql("LOCK TABLE users")
        assert programs.register(name, marker, Prefer="respond-async").status_code == 202
        programs.kill("worker")
        wait_until(lambda: not _queue(url, "auth.register").consumer_count, STOP_SECONDS, "nobody consumes")


def _all_done(database: Database, ids: list[str]) -> bool:
    with database.reading() as transaction:
        return all(outcome_of(transaction.connection, "anonymous", each) for each in ids)


def test_no_password_rests_readable_anywhere(broker: Broker, tmp_path: Path) -> None:
    markers = {name: SecretMarker() for name in ("ann", "ben", "cleo", "dora", "elsa", "twice", "weak")}
    with ExitStack() as stack:
        server = stack.enter_context(find_database("process"))
        url = server.fresh_database()
        database = Database(url)
        stack.callback(database.close)
        migrate(database, "auth.migrations")
        collector = stack.enter_context(collecting(tmp_path / "traces"))
        programs = stack.enter_context(Programs(tmp_path, broker.url, url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url))
        programs.start("worker")
        programs.start("web")
        wait_until(programs.is_ready, START_SECONDS, "auth is ready")
        client = stack.enter_context(Client(broker.url))

        def nothing_found() -> bool:
            rests = files_with(markers.values(), broker.folder) + files_with(markers.values(), tmp_path)
            assert rests + columns_with(markers.values(), str(make_url(url).set(drivername="postgresql+psycopg"))) == []
            return True

        assert programs.register("ann", markers["ann"]).status_code == 201
        _no_answer_repeats(programs, markers["weak"])
        client.call(_register("elsa", markers["elsa"]))  # the client has the key now

        _kill_worker_before_it_registers(programs, database, broker.url, "ben", markers["ben"])
        client.send(_register("cleo", markers["cleo"]), message_id="cleo")
        client.send(_register("dora", markers["dora"]), message_id="dora")
        client.send(_register("ann", markers["twice"]), message_id="twice")  # refused, with nobody to tell
        # The four that are left to do, and perhaps elsa's: a worker acknowledges after it has answered.
        assert _queue(broker.url, "auth.register").message_count >= 4
        _reject_one(broker.url, "auth.register")
        wait_until(lambda: _queue(broker.url, "auth.dead").message_count == 1, ANSWER_SECONDS, "a letter of the broker")
        assert nothing_found()
        broker.stop()
        assert nothing_found()
        broker.start()

        programs.start("worker")
        wait_until(lambda: _all_done(database, ["cleo", "dora", "twice"]), START_SECONDS, "what waited is done")
        letters = DeadLetterReader(database)
        found = [letters.next() for _ in range(2)]
        assert sorted(letter.reason for letter in found) == ["refused", "rejected"]
        for letter in found:
            assert json.loads(letter.body).keys() == {"username", "email", "sealed"}
        assert nothing_found()
        assert "Replayed 2." in programs.run("dead-letters", "replay", "auth", "--all", "--yes")
        ids = [str(letter.message_id) for letter in found]
        wait_until(lambda: _all_done(database, ids), ANSWER_SECONDS, "the dead letters are done again")
        assert nothing_found()

        programs.stop("web")
        programs.stop("worker")
        broker.stop()
        assert nothing_found()
        server.stop()
        assert files_with(markers.values(), server.folder) == []
    assert {"worker.log", "web.log"} <= {path.name for path in tmp_path.iterdir()}
    assert b'"answered"' in (tmp_path / "worker.log").read_bytes()
    assert b"auth.register" in (tmp_path / "traces").read_bytes()


def test_no_token_code_or_key_rests_readable_but_those_of_mails_in_the_mails(broker: Broker, tmp_path: Path) -> None:
    """Used ones and refused ones, with a worker killed while requests with them wait, and dead letters sent again."""
    logs, data = tmp_path / "logs", tmp_path / "data"
    logs.mkdir()
    with ExitStack() as stack:
        server = stack.enter_context(find_database("process"))
        url = server.fresh_database()
        database = Database(url)
        stack.callback(database.close)
        migrate(database, "auth.migrations")
        collector = stack.enter_context(collecting(logs / "traces"))
        programs = stack.enter_context(
            Programs(logs, broker.url, url, DATA_DIR=str(data), OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        )
        programs.start("worker")
        programs.start("web")
        wait_until(programs.is_ready, START_SECONDS, "auth is ready")
        mailbox, password = Mailbox(data / "mail"), SecretMarker()
        programs.register("ann", password)
        for path in ("password/forgot", "email/resend", "password/forgot"):
            assert programs.post(path, email="ann@example.com").status_code == 202
        mailbox.wait_for("ann@example.com", 3)
        (verify, reset, unused), new_password = _tokens_by_kind(mailbox, "ann@example.com"), SecretMarker()
        used = {"token": reset, "new_password": new_password.password}
        secrets, bearer, refresh_token = _use_tokens_and_codes(programs, password.password)
        secrets += [verify, reset, unused, *_private_keys(database)]
        markers = [password, new_password, *map(SecretMarker, secrets)]

        def nothing_found() -> bool:
            rests = files_with(markers, broker.folder) + files_with(markers, logs)
            assert rests + columns_with(markers, str(make_url(url).set(drivername="postgresql+psycopg"))) == []
            return True

        assert nothing_found()
        _kill_worker_while_it_has_secrets(programs, database, used, bearer, refresh_token)
        assert nothing_found()
        _reject_all(broker.url, ["auth.log_out", "auth.end_other_sessions"])
        assert nothing_found()
        programs.start("worker")
        wait_until(programs.is_ready, START_SECONDS, "auth is ready again")
        letters = DeadLetterReader(database)
        assert [letters.next().reason for _ in range(2)] == ["rejected"] * 2
        assert nothing_found()
        assert "Replayed 2." in programs.run("dead-letters", "replay", "auth", "--all", "--yes")
        assert programs.post("password/reset", **used).status_code == 204
        assert programs.post("password/reset", **{**used, "token": unused}).status_code == 403
        assert programs.post("email/verify", token=verify).status_code == 204
        assert nothing_found()
        programs.stop("web")
        programs.stop("worker")
        broker.stop()
        assert nothing_found()
        server.stop()
        assert files_with(markers, server.folder) == []
    assert b'"mail_sent"' in (logs / "worker.log").read_bytes()
    assert b"auth.log_out" in (logs / "traces").read_bytes()
    assert len(files_with(markers, data)) == 3  # the search finds the mails themselves


def _reject_all(url: str, queues: list[str]) -> None:
    """Of each one message, once the worker that had it is gone."""
    for queue in queues:
        wait_until(lambda name=queue: _queue(url, name).message_count == 1, STOP_SECONDS, "it is back")  # type: ignore[misc]
        _reject_one(url, queue)
    wait_until(lambda: _queue(url, "auth.dead").message_count == len(queues), ANSWER_SECONDS, "letters of the broker")


def _kill_worker_while_it_has_secrets(
    programs: Programs, database: Database, reset: dict[str, str], bearer: dict[str, str], refresh_token: str
) -> None:
    """It waits for an account, with the token of a mail, and for its sessions, with a log-out and an access token."""
    with database.transaction() as transaction:
        for table in ("users", "sessions"):
            transaction.connection.exec_driver_sql(f"SELECT id FROM {table} FOR UPDATE")  # our own names
        waiting = [threading.Thread(target=programs.post, args=("password/reset",), kwargs=reset) for _ in range(3)]
        for each in waiting:
            each.start()
        wait_until(lambda: _waits_for_a_lock(database), ANSWER_SECONDS, "the worker waits")
        later = {"Prefer": "respond-async"}
        assert programs.post("logout", later, refresh_token=refresh_token).status_code == 202
        ending = requests.delete(f"{programs.url}/sessions", headers={**bearer, **later}, timeout=ANSWER_SECONDS)
        assert ending.status_code == 202
        programs.kill("worker")
    for each in waiting:
        each.join(ANSWER_SECONDS)


def _use_tokens_and_codes(programs: Programs, password: str) -> tuple[list[str], dict[str, str], str]:
    """All secrets of some log-ins; the header of one that goes on, and the refresh token of another."""
    login = {"login": "ann", "password": password}
    tokens = [programs.post("login", **login).json()]
    bearer = {"Authorization": f"Bearer {tokens[0]['access_token']}"}
    secret = programs.post("mfa/totp", bearer).json()["secret"]
    now, later = (_spaced(pyotp.TOTP(secret).at(time.time(), counter_offset=steps)) for steps in (0, 1))
    recovery_codes = programs.post("mfa/totp/confirm", bearer, code=now).json()["recovery_codes"]
    assert programs.post("login", **login, otp=now).status_code == 401  # it has been used
    tokens += [programs.post("login", **login, otp=otp).json() for otp in (later, recovery_codes[0])]
    tokens.append(programs.post("token", refresh_token=tokens[-1]["refresh_token"]).json())
    assert programs.post("introspect", bearer, token=tokens[1]["access_token"]).json()["active"]
    # Of an access token its signature, as what comes before is the same in all of them.
    access = [each["access_token"].rpartition(".")[2] for each in tokens]
    refresh = [each["refresh_token"] for each in tokens]
    return [secret, now, later, *recovery_codes, *access, *refresh], bearer, refresh[-1]


def _spaced(code: str) -> str:
    """With blanks, which do not count: six digits in a row are in many files by chance."""
    return f"{code[0]} {code[1]}  {code[2]} {code[3]}   {code[4]}  {code[5]}"


def _private_keys(database: Database) -> list[str]:
    """The private parts of all keys, which the database has encrypted."""
    with database.reading() as transaction:
        signing = transaction.connection.execute(select(signing_key.c.private_jwk)).scalars().all()
        others = transaction.connection.execute(select(service_key.c.secret)).scalars().all()
    sealing = [pair.private_jwk for pair in read_keys(database).values()]
    private = [json.loads(each)["d"] for each in (*signing, *sealing)]
    return [*private, *(json.loads(each)["d"] if each.startswith("{") else each for each in others)]


def _tokens_by_kind(mailbox: Mailbox, address: str) -> tuple[str, str, str]:
    """That to verify the address, and two for a new password."""
    messages = mailbox.to(address)
    verify = [token_in(message) for message in messages if "/email/verify?" in text_of(message)]
    reset = [token_in(message) for message in messages if "/password/reset?" in text_of(message)]
    return verify[0], reset[0], reset[1]


def _waits_for_a_lock(database: Database) -> bool:
    with database.reading() as transaction:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(transaction.connection.exec_driver_sql(waiting).scalar())


def _no_answer_repeats(programs: Programs, marker: SecretMarker) -> None:
    """Bodies that are refused by the front end, each with the password in another place."""
    bodies: list[Any] = [
        {"username": marker.password, "password": marker.password},
        {"username": "x", "email": "no address", "password": marker.password},
        {"username": marker.password, "email": "x@example.com", "password": marker.password},
        {"username": "x", "email": "x@example.com", "password": [marker.password]},
    ]
    for body in bodies:
        answer = requests.post(f"{programs.url}/register", json=body, timeout=ANSWER_SECONDS)
        assert answer.status_code in (400, 422), answer.text
        assert not marker.found_in(answer.content)


def test_the_search_finds_what_is_not_sealed(broker: Broker) -> None:
    """Before the broker stops and after: so what the test above does not find is not there."""
    marker, token = SecretMarker(), SecretMarker()
    declaring = transport_for(broker.url, "declares")
    declaring.open(TransportOptions(declares=queues_of(auth.operations.values())))
    assert declaring.wait_until_ready(START_SECONDS)
    with Client(broker.url, seal=False) as client:
        client.send(_register("ann", marker))
        client.send(EndOtherSessions(), token=token.core)
    declaring.close(STOP_SECONDS)
    for each in (marker, token):
        assert files_with([each], broker.folder)
    broker.stop()
    for each in (marker, token):
        assert files_with([each], broker.folder)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_the_search_finds_a_mark_however_it_is_written(before: str, tmp_path: Path) -> None:
    marker = SecretMarker()
    text = before + marker.password
    for number, content in enumerate((text.encode(), json.dumps(text).encode(), repr(text).encode())):
        (tmp_path / f"{number}").write_bytes(content)
        (tmp_path / f"{number}.base64").write_bytes(b64encode(content))
    assert len(files_with([marker], tmp_path)) == 6
    assert files_with([SecretMarker()], tmp_path) == []
    database = f"sqlite:///{tmp_path}/x.db"
    with Database(database).transaction() as transaction:
        transaction.connection.exec_driver_sql("CREATE TABLE notes (body BLOB, other TEXT)")
        transaction.connection.exec_driver_sql("INSERT INTO notes VALUES (?, 'none')", (json.dumps(text).encode(),))
    assert columns_with([marker], database) == ["notes.body"]
