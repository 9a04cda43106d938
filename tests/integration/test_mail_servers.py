"""Mails by SMTP, to a real server, on both databases: with and without TLS, while it is away, refusing."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from structlog.testing import capture_logs
from support.certificates import Authority
from support.mail_server import MailServer
from support.mailbox import text_of, token_in

import auth.mail.smtp
from auth.domain.email import email_key
from auth.handlers import auth as auth_service
from auth.settings import AuthSettings
from auth.storage import mails
from auth.tables import mail, user
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.worker.background.scheduled import ScheduledTask

LOGIN = ("errand", "p@ss/word")


class Outgoing:
    """Accounts, mails to them, and the job that sends."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database, self._monkeypatch = database, monkeypatch
        self.task = ScheduledTask(auth_service.periodic["auth.send_mails"], database, lambda: None)
        self.logs: list[Any] = []

    def use(self, url: str, **settings: Any) -> None:
        self._monkeypatch.setattr(auth_service, "settings", AuthSettings(smtp_url=url, **settings))

    def ask(self, name: str = "ann", address: str = "") -> None:
        """A mail for a new account with this name."""
        address = address or f"{name}@example.org"
        values = {
            "username": name,
            "username_key": name,
            "email": address,
            "email_key": email_key(address),
            "password_hash": "",
        }
        with self.database.transaction() as transaction:
            transaction.connection.execute(insert(user).values(values))
            mails.ask(transaction.connection, "reset", address, timedelta(hours=1))

    def run(self) -> None:
        with capture_logs() as logs:
            self.task.run_once()
        self.logs += logs

    def events(self) -> list[str]:
        return [each["event"] for each in self.logs]

    def row(self, name: str = "ann") -> Any:
        with self.database.reading() as transaction:
            statement = select(mail).where(mail.c.address == f"{name}@example.org")
            return transaction.connection.execute(statement).one()

    def let_time_pass(self) -> None:
        """Every pause is over."""
        with self.database.transaction() as transaction:
            past = datetime.now(UTC) - timedelta(seconds=1)
            transaction.connection.execute(update(mail).values(next_at=past))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/auth.db" if is_sqlite else request.getfixturevalue("database_url"))
    migrate(database, "auth.migrations")
    yield database
    database.close()


@pytest.fixture
def outgoing(database: Database, monkeypatch: pytest.MonkeyPatch) -> Outgoing:
    return Outgoing(database, monkeypatch)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.give("mail", "localhost"))
    return context


def test_a_mail_is_sent_in_plain_text_where_the_server_has_no_tls(outgoing: Outgoing) -> None:
    with MailServer() as server:
        outgoing.use(f"smtp://localhost:{server.port}", mail_from="Errand <errand@example.com>")
        outgoing.ask()
        outgoing.run()
    (message,) = server.messages
    assert server.recipients == ["ann@example.org"]
    assert server.was_encrypted == [False]
    assert (message["From"], message["To"]) == ("Errand <errand@example.com>", "ann@example.org")
    assert message["Message-ID"] == f"<{outgoing.row().id}@example.com>"
    assert "Hello ann," in text_of(message)
    with outgoing.database.reading() as transaction:
        found = mails.find(transaction.connection, token_in(message), "reset")
    assert found is not None
    assert found.state == "sent"
    assert outgoing.events() == ["mail_sent"]


@pytest.mark.parametrize("implicit", [False, True])
def test_tls_protects_mail_and_password(
    outgoing: Outgoing, authority: Authority, tls: ssl.SSLContext, implicit: bool
) -> None:
    scheme = "smtps" if implicit else "smtp"
    with MailServer(tls, implicit=implicit, login=LOGIN) as server:
        url = f"{scheme}://errand:p%40ss%2Fword@localhost:{server.port}?cacertfile={authority.file}"
        outgoing.use(url)
        outgoing.ask()
        outgoing.run()
    assert (server.was_encrypted, outgoing.row().state) == ([True], "sent")
    assert "p@ss" not in str(outgoing.logs)


def test_a_wrong_password_and_an_unknown_authority_are_errors_that_the_operator_repairs(
    outgoing: Outgoing, authority: Authority, tls: ssl.SSLContext
) -> None:
    outgoing.ask()
    with MailServer(tls, login=LOGIN) as server:
        outgoing.use(f"smtp://errand:wrong@localhost:{server.port}?cacertfile={authority.file}")
        outgoing.run()
        assert outgoing.row().error.startswith("535 ")
        outgoing.use(f"smtp://errand:p%40ss%2Fword@localhost:{server.port}")
        outgoing.let_time_pass()
        outgoing.run()
        assert "certificate" in outgoing.row().error.lower()
        outgoing.use(f"smtp://errand:p%40ss%2Fword@127.0.0.1:{server.port}?cacertfile={authority.file}")
        outgoing.let_time_pass()
        outgoing.run()
        assert "certificate" in outgoing.row().error.lower()  # it is for another host
        assert (outgoing.row().state, server.messages) == ("waiting", [])
        outgoing.use(f"smtp://errand:p%40ss%2Fword@localhost:{server.port}?cacertfile={authority.file}")
        outgoing.let_time_pass()
        outgoing.run()
    assert (outgoing.row().state, len(server.messages)) == ("sent", 1)
    assert outgoing.events() == ["mail_postponed"] * 3 + ["mail_sent"]


def test_without_starttls_no_password_is_sent_unless_the_url_allows_it(outgoing: Outgoing) -> None:
    outgoing.ask()
    with MailServer(login=LOGIN) as server:
        for options in ("", "?starttls=required"):
            outgoing.use(f"smtp://errand:p%40ss%2Fword@localhost:{server.port}{options}")
            outgoing.let_time_pass()
            outgoing.run()
            assert "does not offer STARTTLS" in outgoing.row().error
        outgoing.use(f"smtp://errand:p%40ss%2Fword@localhost:{server.port}?starttls=off")
        outgoing.let_time_pass()
        outgoing.run()
    assert (outgoing.row().state, server.was_encrypted) == ("sent", [False])


def test_while_the_server_is_away_mails_wait_with_growing_pauses(outgoing: Outgoing) -> None:
    server, pauses = MailServer(), []
    outgoing.use(f"smtp://localhost:{server.port}")
    outgoing.ask()
    for _ in range(3):
        before = datetime.now(UTC)
        outgoing.run()
        pauses.append(round((outgoing.row().next_at - before).total_seconds()))
        outgoing.let_time_pass()
    assert all(least <= pause <= least + 5 for least, pause in zip((5, 10, 20), pauses, strict=True))
    assert (outgoing.row().state, outgoing.row().tries) == ("waiting", 3)
    with server:
        outgoing.run()
    assert (outgoing.row().state, len(server.messages)) == ("sent", 1)
    assert outgoing.events() == ["mail_postponed"] * 3 + ["mail_sent"]
    assert "Connection refused" in outgoing.logs[0]["reason"]


@pytest.mark.parametrize("where", ["recipient", "message"])
@pytest.mark.parametrize(("code", "state"), [("450", "waiting"), ("550", "failed")])
def test_what_is_refused_for_now_is_tried_again_and_what_is_refused_for_good_is_given_up(
    outgoing: Outgoing, where: str, code: str, state: str
) -> None:
    with MailServer() as server:
        refusals = server.refused_recipients if where == "recipient" else server.refused_messages
        refusals.append(f"{code} not you")
        outgoing.use(f"smtp://localhost:{server.port}")
        outgoing.ask()
        outgoing.run()
        assert (outgoing.row().state, outgoing.row().error) == (state, f"{code} not you")
        (line,) = outgoing.logs
        event = ("mail_postponed", "warning") if state == "waiting" else ("mail_given_up", "error")
        assert (line["event"], line["log_level"], line["reason"]) == (*event, f"{code} not you")
        outgoing.let_time_pass()
        outgoing.run()
    assert len(server.messages) == (1 if state == "waiting" else 0)


def test_one_refused_mail_does_not_stop_the_others_and_all_go_over_one_connection(outgoing: Outgoing) -> None:
    with MailServer() as server:
        server.refused_recipients.append("550 not you")
        outgoing.use(f"smtp://localhost:{server.port}")
        names = [f"ann{number}" for number in range(5)]
        for name in names:
            outgoing.ask(name)
        outgoing.run()
    assert sorted(outgoing.row(name).state for name in names) == ["failed", "sent", "sent", "sent", "sent"]
    assert len(server.messages) == 4
    assert server.connections == 2  # another one after an error


def test_a_token_that_the_server_repeats_is_neither_stored_nor_logged(outgoing: Outgoing) -> None:
    with MailServer() as server:
        server.refused_messages.append("554 spam: {text}")
        outgoing.use(f"smtp://localhost:{server.port}")
        outgoing.ask()
        outgoing.run()
        with outgoing.database.reading() as transaction:
            token = mails.token(transaction.connection, outgoing.row())
    assert outgoing.row().state in ("failed", "waiting")
    assert token not in outgoing.row().error
    assert token not in str(outgoing.logs)


def test_a_mail_whose_token_has_ended_is_given_up(outgoing: Outgoing) -> None:
    server = MailServer()
    outgoing.use(f"smtp://localhost:{server.port}")
    outgoing.ask()
    outgoing.run()
    with outgoing.database.transaction() as transaction:
        transaction.connection.execute(update(mail).values(ends_at=datetime.now(UTC)))
    outgoing.let_time_pass()
    outgoing.run()
    assert outgoing.row().state == "failed"
    assert "Connection refused" in outgoing.row().error
    assert outgoing.events() == ["mail_postponed", "mail_given_up"]


def test_a_silent_server_is_left_after_the_time_for_one_mail(
    outgoing: Outgoing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth.mail.smtp, "MAIL_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        outgoing.use(f"smtp://127.0.0.1:{silent.getsockname()[1]}")
        outgoing.ask()
        outgoing.run()
    assert outgoing.row().error == "The server did not answer within 0.5 s."
    assert outgoing.row().state == "waiting"


@pytest.mark.parametrize("utf8", [True, False])
def test_an_address_that_is_not_ascii_needs_a_server_that_takes_it(outgoing: Outgoing, utf8: bool) -> None:
    with MailServer(utf8=utf8) as server:
        outgoing.use(f"smtp://localhost:{server.port}")
        outgoing.ask("änn", "änn@example.org")
        outgoing.ask("ben", "ben@bücher.example.org")
        outgoing.run()
    assert server.recipients == (["änn@example.org"] if utf8 else []) + ["ben@xn--bcher-kva.example.org"]
    assert outgoing.row("änn").state == ("sent" if utf8 else "failed")


def test_two_workers_do_not_send_the_same_mail(outgoing: Outgoing) -> None:
    """The second looks while the first waits for the server's answer."""
    other = ScheduledTask(auth_service.periodic["auth.send_mails"], outgoing.database, lambda: None)
    with MailServer() as server:
        server.before_answer = lambda _message: other.run_once()
        outgoing.use(f"smtp://localhost:{server.port}")
        outgoing.ask()
        outgoing.run()
    assert len(server.messages) == 1
    assert outgoing.row().tries == 1
