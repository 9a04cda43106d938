"""Imports over HTTP, on the embedded system: accounts of another program log in with their old passwords."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, select
from support.auth_over_http import (
    PASSWORD,
    address_of,
    bearer,
    code_of,
    events_of,
    json_of,
    log_in,
    make_admin,
    new_name,
    register,
    tokens_of,
)
from werkzeug.security import generate_password_hash

from auth.domain.passwords import needs_new_hash
from auth.storage import accounts
from auth.tables import activity, user
from bus.database.engine import Database
from bus.database.tables import inbox
from bus.testing.databases import migrated


@pytest.fixture(scope="module")
def admin(http: FlaskClient, database: Database) -> dict[str, str]:
    """The headers of an administrator."""
    boss = new_name()
    register(http, boss)
    make_admin(database, boss)
    return bearer(tokens_of(http, boss))


def _user(name: str, **fields: Any) -> dict[str, Any]:
    return {"username": name, "email": address_of(name), **fields}


def _old_hash() -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def _import(http: FlaskClient, admin: dict[str, str], *users: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
    answer = http.post("/users:import", json={"users": users}, headers={**admin, **headers})
    assert answer.status_code == 200, answer.data
    results = json_of(answer)["results"]
    assert isinstance(results, list)
    return results


def _row(database: Database, name: str) -> Any:
    with database.reading() as transaction:
        return transaction.connection.execute(select(user).where(user.c.username == name)).one()


def test_an_imported_account_logs_in_and_its_hash_is_made_again(
    http: FlaskClient, admin: dict[str, str], database: Database, new_name: str
) -> None:
    given = _user(
        new_name, password_hash=_old_hash(), display_name="Ann", email_verified=True, created_at="2019-03-01T09:30:00Z"
    )
    (result,) = _import(http, admin, given)
    assert result == {"status": 201, "id": _row(database, new_name).id}
    assert log_in(http, new_name, "wrong horse battery").status_code == 401
    assert _row(database, new_name).password_hash == given["password_hash"]
    me = json_of(http.get("/me", headers=bearer(tokens_of(http, new_name))))
    assert me.pop("id") == result["id"]
    expected = {name: given[name] for name in ("username", "email", "display_name", "email_verified", "created_at")}
    assert me == {**expected, "roles": []}
    assert not needs_new_hash(_row(database, new_name).password_hash)
    assert log_in(http, new_name).status_code == 200
    (first, *_) = [each for each in events_of(database, "auth.user_changed") if each["username"] == new_name]
    assert (first["version"], first["display_name"]) == (1, "Ann")
    with database.reading() as transaction:
        noted = select(activity.c.what).where(activity.c.user_id == result["id"]).order_by(activity.c.id)
        assert transaction.connection.execute(noted).scalars().first() == "imported"


def test_one_that_is_taken_leaves_the_others_and_a_repetition_makes_none(
    http: FlaskClient, admin: dict[str, str], name: str
) -> None:
    new_name = f"new-{name}"
    users = [
        _user(name.upper(), email=f"other-{name}@example.org"),
        _user(f"other-{name}", email=address_of(name).upper()),
        _user(f"special-{name}", email=f"{name}@mail.local"),
        _user(new_name, password_hash=_old_hash(), roles=["catalog:write", "admin"]),
        _user(new_name),
    ]
    first = _import(http, admin, *users, **{"Idempotency-Key": f"import-{name}"})
    assert [each["status"] for each in first] == [409, 409, 422, 201, 409]
    codes = [each["problem"]["code"] for each in first if "problem" in each]
    assert codes == ["auth.username_taken", "auth.email_taken", "auth.special_domain", "auth.username_taken"]
    assert _import(http, admin, *users, **{"Idempotency-Key": f"import-{name}"}) == first
    assert json_of(http.get("/me", headers=bearer(tokens_of(http, new_name))))["roles"] == ["admin", "catalog:write"]


def test_accounts_without_a_password_and_disabled_ones_do_not_log_in(
    http: FlaskClient, admin: dict[str, str], new_name: str
) -> None:
    disabled = f"disabled-{new_name}"
    made = _import(http, admin, _user(new_name), _user(disabled, password_hash=_old_hash(), disabled=True))
    assert [each["status"] for each in made] == [201, 201]
    for login, password in ((new_name, PASSWORD), (new_name, "!"), (disabled, PASSWORD)):
        assert code_of(log_in(http, login, password)) == (401, "auth.wrong_credentials")


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"password_hash": "hunter2hunter2"}, "/users/0/password_hash"),
        ({"password_hash": generate_password_hash(PASSWORD, "pbkdf2:sha256:1").replace(":1$", ":9999999$")},
         "/users/0/password_hash"),
        ({"email": "nowhere"}, "/users/0/email"),
        ({"roles": ["king"]}, "/users/0/roles/0"),
        ({"created_at": "yesterday"}, "/users/0/created_at"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "/users/0/created_at"),
        ({"created_at": "9999-12-31T23:59:59-14:00"}, "/users/0/created_at"),
    ],
)  # fmt: skip
def test_a_fault_names_the_field(
    http: FlaskClient, admin: dict[str, str], new_name: str, fields: dict[str, Any], pointer: str
) -> None:
    answer = http.post("/users:import", json={"users": [_user(new_name, **fields)]}, headers=admin)
    assert answer.status_code == 422
    assert [each["pointer"] for each in json_of(answer)["errors"]] == [pointer]
    assert b"hunter2" not in answer.data


def test_only_administrators_import(http: FlaskClient, name: str) -> None:
    body = {"users": [_user(f"new-{name}")]}
    answer = http.post("/users:import", json=body, headers=bearer(tokens_of(http, name)))
    assert code_of(answer) == (403, "insufficient-scope")
    assert http.post("/users:import", json=body).status_code == 401


def test_no_hash_and_no_address_is_in_the_inbox(
    http: FlaskClient, admin: dict[str, str], database: Database, new_name: str
) -> None:
    _import(http, admin, _user(new_name, password_hash=_old_hash()), **{"Idempotency-Key": new_name})
    with database.reading() as transaction:
        (reply,) = transaction.connection.execute(select(inbox.c.reply).where(inbox.c.message_id == new_name)).scalars()
    assert b"$2b$" not in bytes(reply)
    assert new_name.encode() not in bytes(reply)


@pytest.mark.usefixtures("name")
def test_an_unknown_login_is_compared_with_the_hash_of_always_the_same_account(database: Database) -> None:
    with database.reading() as transaction:
        connection = transaction.connection
        hashes = set(connection.execute(select(user.c.password_hash)).scalars())
        logins = [f"nobody{number}" for number in range(50)]
        found = [accounts.example_hash(connection, login) for login in logins]
        assert found == [accounts.example_hash(connection, login.upper()) for login in logins]
    assert set(found) <= hashes
    assert len(set(found)) > len(hashes) / 2


def test_what_an_unknown_login_is_compared_with_moves_once_while_the_accounts_double(tmp_path: Path) -> None:
    database = migrated(f"sqlite:///{tmp_path}/auth.db", "auth.migrations")
    logins, seen = [f"nobody{number}" for number in range(50)], list[list[str | None]]()
    with database.transaction() as transaction:
        connection = transaction.connection
        assert accounts.example_hash(connection, "nobody") is None
        for number in range(1, 64):
            keys = {"username_key": f"name{number}", "email_key": f"name{number}@example.org"}
            values = {"username": "", "email": "", "password_hash": f"hash{number}", **keys}
            connection.execute(insert(user).values(values))
            seen.append([accounts.example_hash(connection, login) for login in logins])
    database.close()
    moves = [[before != after for before, after in pairwise(each)] for each in zip(*seen, strict=True)]
    assert all(found is not None for each in seen for found in each)
    assert max(sum(each[31:]) for each in moves) == 1, "from 32 accounts on"
