"""Known and unknown addresses and logins: the same work, statement by statement and hash by hash.

Times would say it too, but only on an idle machine: what is the same work takes the same time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update
from support.auth_over_http import PASSWORD, address_of, new_name, run
from support.executing import execute

from auth.contract import ForgotPassword, LogIn, Register, ResendVerification
from auth.domain import passwords
from auth.domain.passwords import hash_password
from auth.main import application
from auth.settings import AuthSettings
from auth.tables import throttle, user
from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.testing.databases import migrated


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: Path = tmp_path_factory.mktemp("auth")
    database = migrated(f"sqlite:///{folder}/auth.db", "auth.migrations")
    passwords.is_password("", None)  # it makes a hash, the first time
    yield database
    database.close()


@pytest.fixture
def known(database: Database) -> str:
    """The name of an account."""
    name = new_name()
    row = {"username": name, "email": address_of(name), "password_hash": hash_password(PASSWORD)}
    run(database, user.insert().values(**row, username_key=name, email_key=address_of(name)))
    return name


@contextmanager
def _noted(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements and hashes of a block, in their order, without their values."""
    done: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        done.append(statement)

    def noting(name: str) -> None:
        real = getattr(passwords, name)

        def noted(*arguments: Any) -> Any:
            done.append(name)
            return real(*arguments)

        monkeypatch.setattr(passwords, name, noted)

    for name in ("matches", "_hasher"):
        noting(name)
    event.listen(database._engine, "before_cursor_execute", note)
    try:
        yield done
    finally:
        event.remove(database._engine, "before_cursor_execute", note)
        monkeypatch.undo()


def _work(
    database: Database, monkeypatch: pytest.MonkeyPatch, request: Operation[Any], settings: AuthSettings
) -> tuple[int, list[str]]:
    """The status of the answer, and what was done for it."""
    run(database, throttle.delete())
    with _noted(database, monkeypatch) as done:
        monkeypatch.setattr(application.service, "settings", settings)
        ((status, _),) = execute(application.service, database, request)
    return status, done.copy()


def _request(kind: str, name: str) -> Operation[Any]:
    if kind == "register":
        return Register(username=new_name(), email=address_of(name), password=PASSWORD)
    return (ForgotPassword if kind == "forgot" else ResendVerification)(email=address_of(name))


@pytest.mark.parametrize("kind", ["register", "forgot", "resend"])
def test_an_address_with_an_account_takes_the_same_work_as_one_without(
    database: Database, monkeypatch: pytest.MonkeyPatch, known: str, kind: str
) -> None:
    settings = AuthSettings(verify_email=True)
    _work(database, monkeypatch, _request(kind, new_name()), settings)  # what is done once only
    expected = _work(database, monkeypatch, _request(kind, new_name()), settings)
    assert expected[0] in (201, 202)
    assert expected[1]
    assert _work(database, monkeypatch, _request(kind, known), settings) == expected


@pytest.mark.parametrize("state", ["wrong password", "disabled", "no password", "by address"])
def test_a_refused_log_in_takes_the_same_work_for_an_unknown_login(
    database: Database, monkeypatch: pytest.MonkeyPatch, known: str, state: str
) -> None:
    settings, login = AuthSettings(), address_of(known) if state == "by address" else known
    unknown = address_of(new_name()) if state == "by address" else new_name()
    if state == "disabled":
        run(
            database,
            update(user).where(user.c.username == known).values(disabled_at=datetime.now(UTC)),
        )
    elif state == "no password":
        run(database, update(user).where(user.c.username == known).values(password_hash=""))
    password = PASSWORD if state == "disabled" else "wrong horse battery staple"
    _work(database, monkeypatch, LogIn(login=unknown, password=password), settings)
    expected = _work(database, monkeypatch, LogIn(login=unknown, password=password), settings)
    assert expected[0] == 401
    found = _work(database, monkeypatch, LogIn(login=login, password=password), settings)
    assert found == expected
