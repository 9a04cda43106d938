"""What the tests of auth do over HTTP, and see in its database."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from auth.settings import AuthSettings
from auth.tables import session, user
from bus.database.engine import Database
from bus.database.tables import outbox

PASSWORD = "correct horse battery staple"
_numbers = count(1)


def new_name() -> str:
    """A user name that no account has."""
    return f"ann{next(_numbers)}"


def address_of(name: str) -> str:
    """The address of the account with this user name."""
    return f"{name}@example.org"


def register(http: FlaskClient, name: str, address: str = "", password: str = PASSWORD) -> TestResponse:
    """Ask for an account."""
    fields = {"username": name, "email": address or address_of(name), "password": password}
    return http.post("/register", json=fields)


def log_in(http: FlaskClient, login: str, password: str = PASSWORD, **more: str) -> TestResponse:
    """Try to log in."""
    return http.post("/login", json={"login": login, "password": password, **more})


def tokens_of(http: FlaskClient, login: str, password: str = PASSWORD, **more: str) -> dict[str, Any]:
    """Log in; returns the tokens."""
    answer = log_in(http, login, password, **more)
    assert answer.status_code == 200, answer.data
    return json_of(answer)


def bearer(tokens: dict[str, Any]) -> dict[str, str]:
    """The header with an access token."""
    return {"Authorization": f"Bearer {tokens['access_token']}"}


def json_of(answer: TestResponse) -> dict[str, Any]:
    """The body of an answer."""
    assert answer.json is not None, answer.data
    return dict(answer.json)


def code_of(answer: TestResponse) -> tuple[int, str]:
    """The status of an answer, and the code of its problem."""
    return answer.status_code, json_of(answer).get("code", "")


def run(database: Database, *statements: Any) -> None:
    """Carry out statements in one transaction."""
    with database.transaction() as transaction:
        for statement in statements:
            transaction.connection.execute(statement)


def make_admin(database: Database, name: str) -> None:
    """Give an account the role."""
    run(database, update(user).where(user.c.username == name).values(roles="admin"))


def age_sessions(database: Database, user_id: int) -> None:
    """Let the sessions of an account have begun so long ago that what needs a recent log-in is refused."""
    minutes = AuthSettings().recent_log_in_minutes + 1
    begun = datetime.now(UTC) - timedelta(minutes=minutes)
    run(database, update(session).where(session.c.user_id == user_id).values(created_at=begun))


def events_of(database: Database, name: str) -> list[dict[str, Any]]:
    """All events with this name, as they were emitted."""
    with database.reading() as transaction:
        bodies = transaction.connection.execute(select(outbox.c.body).where(outbox.c.name == name)).scalars()
        return [json.loads(body) for body in bodies]
