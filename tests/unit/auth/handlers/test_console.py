"""The console at auth itself: what the library knows of its operations is true."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from support.auth_over_http import PASSWORD, make_admin, run

from auth.tables import activity, session, user
from bus.client.client import Client
from bus.console.access import CONFIRM_SECONDS, Access
from bus.database.engine import Database
from bus.testing.waiting import wait_until

WAIT_SECONDS = 30.0


@pytest.fixture
def admin(http: FlaskClient, name: str, database: Database) -> str:
    make_admin(database, name)
    return name


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def access(http: FlaskClient, folder: Path, now: list[float]) -> Iterator[Access]:
    with Client(f"memory://{folder.name}") as client:
        yield Access(client, "token", with_accounts=True, clock=lambda: now[0])


def _sessions(database: Database, name: str) -> int:
    counted = select(func.count()).select_from(session).join(user).where(user.c.username == name)
    with database.reading() as transaction:
        return int(transaction.connection.execute(counted).scalar_one())


@pytest.mark.parametrize("change", [{"roles": "catalog:write"}, {"disabled_at": func.now()}], ids=["role", "disabled"])
@pytest.mark.parametrize("later", [CONFIRM_SECONDS + 1, 700.0], ids=["asked", "renewed"])
def test_the_session_goes_on_until_the_account_is_no_administrators_any_more(
    access: Access, now: list[float], admin: str, database: Database, change: dict[str, object], later: float
) -> None:
    cookie = access.log_in(admin, PASSWORD, "", "203.0.113.9")
    for _ in range(3):
        now[0] += later
        found = access.session(cookie)
        assert found is not None
        assert access.may_change(found)
    run(database, update(user).where(user.c.username == admin).values(change))
    now[0] += later
    assert access.session(cookie) is None


def test_the_address_of_the_client_counts_and_a_log_out_ends_the_session(
    access: Access, admin: str, database: Database
) -> None:
    cookie = access.log_in(admin, PASSWORD, "", "203.0.113.9")
    with database.reading() as transaction:
        addresses = transaction.connection.execute(select(activity.c.address).where(activity.c.what == "logged_in"))
        assert "203.0.113.9" in set(addresses.scalars())
    assert _sessions(database, admin) == 1
    access.leave(cookie)
    wait_until(lambda: _sessions(database, admin) == 0, WAIT_SECONDS, "the session has ended")
