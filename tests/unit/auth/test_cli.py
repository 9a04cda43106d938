"""`bus auth`: roles and keys, straight in the database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select, update
from support.secret_markers import SecretMarker, columns_with

from auth.settings import AuthSettings
from auth.storage import mails, second_factor, service_accounts, signing_keys
from auth.storage.signing_keys import current_key, published_keys
from auth.tables import activity, mail, totp, user
from bus.cli import bus
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.database.tables import outbox


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """auth's database with the account `ada`, where the commands find it."""
    monkeypatch.setenv("AUTH_DATABASE_URL", f"sqlite:///{tmp_path}/auth.db")
    database = Database(f"sqlite:///{tmp_path}/auth.db")
    migrate(database, "auth.migrations")
    row = {
        "username": "Ada",
        "username_key": "ada",
        "email": "ada@example.org",
        "email_key": "ada@example.org",
        "password_hash": "",
    }
    with database.transaction() as transaction:
        transaction.connection.execute(insert(user), row)
    return database


def _run(*command: str) -> Result:
    return CliRunner().invoke(bus, ["auth", *command])


def _roles(database: Database) -> str:
    with database.reading() as transaction:
        return str(transaction.connection.execute(select(user.c.roles)).scalar_one())


def test_a_role_is_given_and_taken_with_an_event_and_a_record(database: Database) -> None:
    assert _run("grant", "ada", "admin").output == "Ada: admin\n"
    assert _run("grant", "ADA@example.org", "catalog:write").output == "Ada: admin catalog:write\n"
    assert _run("grant", "ada", "admin").output == "Ada: admin catalog:write\n"
    assert _run("revoke", "ada", "admin").output == "Ada: catalog:write\n"
    assert _roles(database) == "catalog:write"
    with database.reading() as transaction:
        events = [json.loads(body) for body in transaction.connection.execute(select(outbox.c.body)).scalars()]
        noted = transaction.connection.execute(select(activity.c.what)).scalars().all()
    assert [event["roles"] for event in events] == [["admin"], ["admin", "catalog:write"], ["catalog:write"]]
    assert [event["version"] for event in events] == [2, 3, 4]
    assert noted == ["roles_changed"] * 3


@pytest.mark.parametrize(
    "command", [("grant", "eve", "admin"), ("grant", "ada", "king"), ("revoke", "not a name", "admin")]
)
def test_a_mistake_changes_nothing(database: Database, command: tuple[str, ...]) -> None:
    ran = _run(*command)
    assert ran.exit_code == 2
    assert _roles(database) == ""


def test_a_second_factor_is_removed_with_an_event_and_a_record(database: Database) -> None:
    with database.transaction() as transaction:
        second_factor.keep(transaction.connection, 1, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
        transaction.connection.execute(update(totp).values(confirmed_at=datetime.now(UTC), version=1))
    assert _run("remove-totp", "ada").output == "Ada: no second factor\n"
    with database.reading() as transaction:
        (event,) = [json.loads(body) for body in transaction.connection.execute(select(outbox.c.body)).scalars()]
        noted = transaction.connection.execute(select(activity.c.what)).scalars().all()
        assert second_factor.find(transaction.connection, 1) is None
    assert (event, noted) == ({"id": 1, "enabled": False, "version": 2}, ["totp_removed"])
    assert "Ada has no second factor." in _run("remove-totp", "ada").output


def test_after_a_rotation_the_new_key_signs_and_the_old_one_is_still_published(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.reading() as transaction:
        old = current_key(transaction.connection).kid
    new = _run("keys", "rotate").output.strip()
    with database.reading() as transaction:
        assert current_key(transaction.connection).kid == old  # until every verifier can have asked for the new one
        monkeypatch.setattr(signing_keys, "SETTLE", timedelta(0))
        assert current_key(transaction.connection).kid == new != old
        assert [key.kid for key in published_keys(transaction.connection, AuthSettings())] == [new, old]


def test_the_group_has_a_help() -> None:
    assert "Manage accounts, and the keys that access tokens are signed with." in _run("--help").output


# Mails that could not be sent.


def _mail(database: Database, state: str, address: str, **values: Any) -> str:
    with database.transaction() as transaction:
        mails.ask(transaction.connection, "reset", address, timedelta(hours=1))
        changed = update(mail).where(mail.c.address == address).values(state=state, **values).returning(mail.c.id)
        return str(transaction.connection.execute(changed).scalar_one())


def _mail_row(database: Database, mail_id: str) -> Any:
    with database.reading() as transaction:
        return transaction.connection.execute(select(mail).where(mail.c.id == mail_id)).one()


def test_mails_that_were_not_sent_are_listed_with_the_reason(database: Database) -> None:
    failed = _mail(database, "failed", "a@example.org", error="550 not you")
    waiting = _mail(database, "waiting", "b@example.org", error="The server did not answer.")
    sent = _mail(database, "sent", "c@example.org")
    lines = _run("mails", "list").output.splitlines()
    assert [line.split()[0] for line in lines] == [failed, waiting]
    assert lines[0].endswith("failed   reset     a@example.org  550 not you")
    assert sent in _run("mails", "list", "--all").output


def test_mails_are_sent_again_with_a_new_end(database: Database) -> None:
    past = datetime.now(UTC) - timedelta(days=2)
    times = {"made_at": past, "ends_at": past + timedelta(hours=1)}
    failed = _mail(database, "failed", "a@example.org", **times)
    other = _mail(database, "failed", "b@example.org", **times)
    sending = _mail(database, "sending", "c@example.org")
    assert _run("mails", "retry", failed).output == "1 to be sent.\n"
    row = _mail_row(database, failed)
    assert row.state == "waiting"
    assert timedelta(minutes=59) < row.ends_at - datetime.now(UTC) <= timedelta(hours=1)
    assert _mail_row(database, other).state == "failed"
    assert _run("mails", "retry", "--all").output == "2 to be sent.\n"
    assert [_mail_row(database, each).state for each in (other, sending)] == ["waiting", "sending"]
    assert _run("mails", "retry", "unknown").output == "0 to be sent.\n"
    assert _run("mails", "retry").exit_code == 2


def test_a_service_account_is_made_listed_given_another_secret_and_deleted(database: Database) -> None:
    first = _run("service-accounts", "create", "orders", "--role", "catalog:write").output.strip()
    assert len(first) == 43
    again = _run("service-accounts", "create", "orders")
    assert (again.exit_code, "There is a service account 'orders' already" in again.output) == (2, True)
    assert _run("service-accounts", "create", "Orders!").exit_code == 2
    assert _run("service-accounts", "create", "feed").exit_code == 0
    assert _run("service-accounts", "list").output == "feed: no roles\norders: catalog:write\n"
    assert _has_secret(database, first)
    second = _run("service-accounts", "new-secret", "orders").output.strip()
    assert (_has_secret(database, first), _has_secret(database, second)) == (False, True)
    assert columns_with(map(SecretMarker, (first, second)), f"sqlite:///{database.file}") == []
    assert _run("service-accounts", "delete", "orders").exit_code == 0
    assert not _has_secret(database, second)
    for command in ("new-secret", "delete"):
        assert _run("service-accounts", command, "orders").exit_code == 2


def test_what_was_done_with_service_accounts_is_recorded_and_stays_when_they_are_deleted(database: Database) -> None:
    for command in ("create", "create", "new-secret", "delete", "delete"):  # the second of two is refused
        _run("service-accounts", command, "orders")
    lines = [line.split()[2:] for line in _run("service-accounts", "activity").output.splitlines()]
    assert lines == [["created", "orders"], ["secret_replaced", "orders"], ["deleted", "orders"]]


def _has_secret(database: Database, secret: str) -> bool:
    with database.reading() as transaction:
        return service_accounts.find(transaction.connection, "orders", secret) is not None
