"""`bus auth`: roles and keys, straight in the database."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select, update

from auth.settings import AuthSettings
from auth.storage import second_factor, signing_keys
from auth.storage.signing_keys import current_key, published_keys
from auth.tables import activity, totp, user
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
