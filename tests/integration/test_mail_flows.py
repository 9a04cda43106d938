"""Flows with mails from plain messages on the queues, and a worker that dies before it marks a mail as sent."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from support.long_timeouts import use_long_timeouts
from support.mail_server import MailServer
from support.mailbox import Mailbox, token_in
from support.plain_publisher import PlainPublisher
from support.worker_threads import System

from auth.handlers import auth as auth_service
from auth.settings import AuthSettings
from auth.storage import mails
from auth.tables import mail, user
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.waiting import wait_until

PASSWORD, NEW_PASSWORD = "correct horse battery staple", "another horse battery staple"
ADDRESS = "ann@example.org"
WAIT_SECONDS = 60.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    migrate(database, "auth.migrations")
    yield database
    database.close()


@pytest.fixture
def publisher(broker_url: str) -> Iterator[PlainPublisher]:
    publisher = PlainPublisher(broker_url)
    yield publisher
    publisher.close()


@pytest.fixture
def mailbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    monkeypatch.setattr(auth_service, "data_dir", tmp_path)
    return Mailbox(tmp_path / "mail")


def test_a_password_is_forgotten_and_an_address_verified_from_the_queues(
    broker_url: str, database: Database, publisher: PlainPublisher, mailbox: Mailbox
) -> None:
    account = {"username": "ann", "email": ADDRESS, "password": PASSWORD}
    with System(broker_url) as system:
        system.start(auth_service, database)
        assert publisher.ask("auth.register", account).json["user"]["id"] == 1
        known, unknown = (
            publisher.ask("auth.forgot_password", {"email": address}) for address in (ADDRESS, "ben@example.org")
        )
        assert (known.status, known.body) == (unknown.status, unknown.body)
        assert known.status == 202
        reset = {"token": mailbox.token(ADDRESS), "new_password": NEW_PASSWORD}
        answers = [publisher.ask("auth.reset_password", reset) for _ in range(2)]
        assert [answer.status for answer in answers] == [204, 403]
        assert (answers[0].body, answers[1].code) == (b"", "auth.invalid_mail_token")
        logins = [publisher.ask("auth.log_in", {"login": "ann", "password": p}) for p in (PASSWORD, NEW_PASSWORD)]
        assert [answer.status for answer in logins] == [401, 200]
        headers = {"authorization": f"Bearer {logins[1].json['access_token']}"}
        changed = publisher.ask("auth.update_account", {"email": "new@example.org"}, headers=headers).json
        assert (changed["email"], changed["email_verified"]) == ("new@example.org", False)
        assert publisher.ask("auth.resend_verification", {"email": "new@example.org"}).status == 202
        token = mailbox.token("new@example.org", 2)
        assert publisher.ask("auth.verify_email", {"token": token}).status == 204
        assert publisher.ask("auth.get_account", {}, headers=headers).json["email_verified"] is True
        assert not system.letters["auth"].has_more()


def test_an_account_is_made_when_its_address_is_verified_from_the_queues(
    broker_url: str, database: Database, publisher: PlainPublisher, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth_service, "settings", AuthSettings(verify_email=True))
    with System(broker_url) as system:
        system.start(auth_service, database)
        account = {"username": "ann", "email": ADDRESS, "password": PASSWORD}
        first = publisher.ask("auth.register", account, message_id="first")
        assert publisher.ask("auth.register", account, message_id="first").body == first.body  # no second mail
        token = mailbox.token(ADDRESS)
        assert publisher.ask("auth.verify_email", {"token": token}).status == 204
        again = publisher.ask("auth.register", {**account, "username": "ben"})
        assert (again.status, again.json.keys()) == (201, first.json.keys())
        assert again.body.replace(b"ben", b"ann") == first.body
        assert "token=" not in str(mailbox.wait_for(ADDRESS, 2))
        assert [
            publisher.ask("auth.log_in", {"login": each, "password": PASSWORD}).status for each in ("ann", "ben")
        ] == [
            200,
            401,
        ]
        assert not system.letters["auth"].has_more()


class Worker:
    """`bus worker auth` as a process, with its log in a file."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._log = folder / "worker.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bus.cli", "worker", "auth"],
                env={**os.environ, "LOG_FORMAT": "json", "DATA_DIR": str(folder), **settings},
                stdout=log,
                stderr=log,
            )

    def logged(self, event: str) -> int:
        """How often this and earlier workers have logged it."""
        return self._log.read_text().count(f'"event": "{event}"') + self._log.read_text().count(f'"event":"{event}"')

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(WAIT_SECONDS)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(WAIT_SECONDS)


def test_a_mail_comes_again_with_the_same_name_and_token_when_a_worker_dies_before_its_mark(
    broker_url: str, database_url: str, database: Database, tmp_path: Path
) -> None:
    """The server has answered 250, and the mark waits for a lock when the worker is killed."""
    with database.transaction() as transaction:
        values = {"username": "ann", "username_key": "ann", "email": ADDRESS, "email_key": ADDRESS, "password_hash": ""}
        transaction.connection.execute(insert(user).values(values))
        mails.ask(transaction.connection, "reset", ADDRESS, timedelta(hours=1))
    locks = ExitStack()

    def lock_the_row(_message: EmailMessage) -> None:
        holding = locks.enter_context(database.transaction())
        holding.connection.execute(select(mail).with_for_update())

    with MailServer() as server, locks:
        server.before_answer = lock_the_row
        settings = {
            "BUS_URL": broker_url,
            "AUTH_DATABASE_URL": database_url,
            "AUTH_SMTP_URL": f"smtp://127.0.0.1:{server.port}",
        }
        first = Worker(tmp_path, **settings)
        wait_until(lambda: first.logged("mail_sent") == 1, WAIT_SECONDS, "the first worker has sent it")
        first.kill()
        server.before_answer = lambda _message: None
        locks.close()
        assert _row(database).state == "sending"
        second = Worker(tmp_path, **settings)
        with database.transaction() as transaction:  # the time of the first worker is over
            transaction.connection.execute(update(mail).values(next_at=datetime.now(UTC)))
        wait_until(lambda: _row(database).state == "sent", WAIT_SECONDS, "the second worker has sent it")
        second.stop()
    assert len(server.messages) == 2
    assert len({message["Message-ID"] for message in server.messages}) == 1
    assert len({token_in(message) for message in server.messages}) == 1
    assert _row(database).tries == 2


def _row(database: Database) -> Any:
    with database.reading() as transaction:
        return transaction.connection.execute(select(mail)).one()
