"""Accounts over HTTP, on the embedded system: log-in, tokens, sessions, passwords, roles."""

from base64 import urlsafe_b64decode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, func, insert, select, update
from support.auth_over_http import (
    PASSWORD,
    address_of,
    age_sessions,
    bearer,
    code_of,
    events_of,
    log_in,
    make_admin,
    new_name,
    register,
    run,
    tokens_of,
)
from werkzeug.test import TestResponse

from auth.domain.throttling import ACCOUNT_FAILURES, Rate
from auth.handlers.clearing import clear_failures, clear_throttles, end_old_sessions
from auth.main import application
from auth.settings import AuthSettings
from auth.storage.throttle import name_of
from auth.tables import activity, refresh_token, session, throttle, user
from bus.contract.codec import parse
from bus.contract.identity import ANONYMOUS
from bus.database.engine import Database
from bus.database.outbox import write
from bus.database.tables import inbox
from bus.service.work import Work


def _refresh(http: FlaskClient, token: str) -> TestResponse:
    return http.post("/token", json={"refresh_token": token})


def test_a_log_in_by_name_or_address_gives_tokens_that_no_cache_keeps(http: FlaskClient, name: str) -> None:
    for login in (name, name.upper(), f"{name}@EXAMPLE.org"):
        answer = log_in(http, login)
        assert answer.headers["Cache-Control"] == "no-store"
        tokens = answer.json
        assert tokens is not None
        assert (answer.status_code, tokens["token_type"], tokens["expires_in"]) == (200, "Bearer", 600)
        assert tokens["user"] == {"id": tokens["user"]["id"], "username": name, "email": f"{name}@example.org"}
        claims = parse(urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))
        assert claims["sub"] == str(tokens["user"]["id"])
        assert claims["exp"] - claims["iat"] == 600
        assert claims.keys() == {"iss", "aud", "sub", "sid", "scope", "iat", "exp", "jti"}


def test_an_account_sees_itself(http: FlaskClient, name: str) -> None:
    tokens = tokens_of(http, name)
    account = http.get("/me", headers=bearer(tokens)).json
    assert account is not None
    made = account.pop("created_at")
    assert datetime.fromisoformat(made).tzinfo is not None
    assert account == {
        "id": tokens["user"]["id"],
        "username": name,
        "email": f"{name}@example.org",
        "email_verified": False,
        "display_name": "",
        "roles": [],
    }
    assert http.get("/me").status_code == 401
    assert http.get("/me").headers["WWW-Authenticate"].startswith("Bearer")
    assert http.get("/me", headers={"Authorization": f"Bearer {tokens['refresh_token']}"}).status_code == 401


def test_wrong_unknown_and_disabled_get_the_same_answer(http: FlaskClient, database: Database, name: str) -> None:
    disabled = f"off{name}"
    register(http, disabled)
    run(database, update(user).where(user.c.username == disabled).values(disabled_at=datetime.now(UTC)))
    answers = [
        log_in(http, name, "another password"),
        log_in(http, "nobody-at-all"),
        log_in(http, "nobody@example.org"),
        log_in(http, "not a name"),
        log_in(http, disabled),
    ]
    bodies = [{key: value for key, value in (answer.json or {}).items() if key != "trace_id"} for answer in answers]
    assert {answer.status_code for answer in answers} == {401}
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize("is_known", [True, False])
def test_failures_are_throttled_and_the_right_password_works_after_the_wait(
    http: FlaskClient, database: Database, name: str, is_known: bool
) -> None:
    login = name if is_known else f"{name}-unknown"
    codes = [code_of(log_in(http, login, "another password")) for _ in range(ACCOUNT_FAILURES.free)]
    assert codes == [(401, "auth.wrong_credentials")] * ACCOUNT_FAILURES.free
    run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
    blocked = log_in(http, login)
    assert code_of(blocked) == (429, "auth.too_many_tries")
    assert 90 <= int(blocked.headers["Retry-After"]) <= 100
    run(database, update(throttle).values(waits_until=datetime.now(UTC)))
    assert log_in(http, login).status_code == (200 if is_known else 401)
    if is_known:
        assert log_in(http, login, "another password").status_code == 401  # counted from one again
        assert log_in(http, login).status_code == 200


@pytest.mark.parametrize("is_known", [True, False])
def test_all_spellings_of_a_login_share_a_count(
    http: FlaskClient, database: Database, name: str, is_known: bool
) -> None:
    """Or another spelling of one that waits would say whether there is an account."""
    login = name if is_known else f"{name}-unknown"
    wide = "".join(chr(ord(each) + 0xFEE0) for each in login)
    for spellings in (login, login.upper(), wide), (address_of(login), f"{wide}@EXAMPLE.org"):
        assert log_in(http, spellings[0], "another password").status_code == 401
        run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
        assert [log_in(http, each).status_code for each in spellings] == [429] * len(spellings)
        run(database, delete(throttle))


def test_a_login_that_is_a_number_does_not_count_for_the_account_with_this_id(
    http: FlaskClient, database: Database, name: str
) -> None:
    user_id = tokens_of(http, name)["user"]["id"]
    assert log_in(http, str(user_id), "another password").status_code == 401
    run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
    assert log_in(http, name).status_code == 200
    run(database, delete(throttle))


def _from(address: str) -> dict[str, Any]:
    return {"environ_overrides": {"REMOTE_ADDR": address}}


def test_failures_from_one_address_are_throttled_whatever_the_account(
    http: FlaskClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of names is tried with one password each; another address and this machine's own go on."""
    limit = Rate(burst=5, pause=timedelta(hours=1))
    monkeypatch.setattr("auth.handlers.login.ADDRESS_FAILURES", limit)
    for number in range(limit.burst):
        guess = {"login": f"nobody{number}", "password": PASSWORD}
        assert http.post("/login", json=guess, **_from("2001:db8::1")).status_code == 401
    right = {"login": name, "password": PASSWORD}
    # The rest of the network counts too: a customer has all of it.
    throttled = http.post("/login", json=right, **_from("2001:db8::2"))
    assert code_of(throttled) == (429, "auth.too_many_tries")
    seconds = throttled.headers["Retry-After"]
    assert 0 < int(seconds) <= limit.pause.total_seconds()
    assert throttled.headers["RateLimit"] == f'"auth.log_in";r=0;t={seconds}'
    for address in ("203.0.113.9", "127.0.0.1"):
        assert http.post("/login", json=right, **_from(address)).status_code == 200


def test_registrations_from_one_address_are_throttled(http: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth.handlers.registration.ADDRESS_REGISTRATIONS", Rate(2, timedelta(minutes=1)))
    statuses = []
    for _ in range(3):
        name = new_name()
        account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
        statuses.append(http.post("/register", json=account, **_from("203.0.113.10")).status_code)
    assert statuses == [201, 201, 429]


def test_activity_says_from_where(http: FlaskClient, name: str) -> None:
    log_in = {"login": name, "password": PASSWORD, "device": "Firefox"}
    tokens = http.post("/login", json=log_in, **_from("::ffff:203.0.113.11")).json
    assert tokens is not None
    found = http.get("/me/activity", headers=bearer(tokens)).json
    assert found is not None
    shown = [(each["what"], each["device"], each["address"]) for each in found["activity"]]
    assert shown == [("logged_in", "Firefox", "203.0.113.11"), ("registered", "", "127.0.0.1")]


def test_each_use_of_a_refresh_token_gives_a_new_one(http: FlaskClient, name: str) -> None:
    first = tokens_of(http, name)
    second = _refresh(http, first["refresh_token"])
    assert (second.status_code, second.headers["Cache-Control"]) == (200, "no-store")
    assert second.json is not None
    assert second.json["refresh_token"] != first["refresh_token"]
    assert _refresh(http, second.json["refresh_token"]).status_code == 200
    assert code_of(_refresh(http, "unknown")) == (401, "auth.invalid_refresh_token")
    assert code_of(_refresh(http, first["access_token"][:200])) == (401, "auth.invalid_refresh_token")


def test_a_used_refresh_token_works_for_seconds_and_then_ends_the_session(
    http: FlaskClient, database: Database, name: str
) -> None:
    first, other = tokens_of(http, name), tokens_of(http, name)
    second = _refresh(http, first["refresh_token"]).json
    again = _refresh(http, first["refresh_token"]).json
    assert second is not None
    assert again is not None
    assert _refresh(http, second["refresh_token"]).status_code == 200
    run(
        database, update(refresh_token).values(used_at=refresh_token.c.used_at).where(refresh_token.c.used_at.is_(None))
    )
    earlier = datetime.now(UTC) - timedelta(seconds=11)
    run(database, update(refresh_token).where(refresh_token.c.used_at.is_not(None)).values(used_at=earlier))
    assert code_of(_refresh(http, first["refresh_token"])) == (401, "auth.invalid_refresh_token")
    assert _refresh(http, again["refresh_token"]).status_code == 401  # the whole session has ended
    assert http.get("/me", headers=bearer(second)).status_code == 401
    assert _refresh(http, other["refresh_token"]).status_code == 200
    assert [each["user_id"] for each in events_of(database, "auth.token_reused")][-1] == first["user"]["id"]


def test_fifty_clients_with_one_refresh_token_all_go_on(http: FlaskClient, database: Database, name: str) -> None:
    token = tokens_of(http, name)["refresh_token"]
    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda _: _refresh(http.application.test_client(), token), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({(answer.json or {})["refresh_token"] for answer in answers}) == 50


@pytest.mark.parametrize(
    ("column", "days"),
    [(session.c.last_used_at, AuthSettings().session_idle_days), (session.c.created_at, AuthSettings().session_days)],
)
def test_a_session_ends_when_it_is_idle_or_old(
    http: FlaskClient, database: Database, name: str, column: Any, days: int
) -> None:
    tokens = tokens_of(http, name)
    of_this = session.c.user_id == tokens["user"]["id"]
    run(database, update(session).where(of_this).values({column: datetime.now(UTC) - timedelta(days=days, seconds=1)}))
    assert _refresh(http, tokens["refresh_token"]).status_code == 401
    with database.reading() as transaction:
        assert transaction.connection.execute(select(func.count()).select_from(session).where(of_this)).scalar() == 0


def test_sessions_that_are_over_end_by_themselves(database: Database, http: FlaskClient, name: str) -> None:
    tokens, other = tokens_of(http, name), tokens_of(http, name)
    ended, goes_on = (_session_of(each) for each in (tokens, other))
    run(database, update(session).where(session.c.id == ended).values(last_used_at=_days_ago(15)))
    _do(database, end_old_sessions)
    with database.reading() as transaction:
        left = set(transaction.connection.execute(select(session.c.id)).scalars())
    assert goes_on in left
    assert ended not in left
    assert {"id": ended, "state": "ended"}.items() <= events_of(database, "auth.session_changed")[-1].items()


def test_counts_without_effect_are_deleted(database: Database, http: FlaskClient) -> None:
    assert log_in(http, "long ago").status_code == 401
    assert log_in(http, "just now").status_code == 401
    long_ago, just_now = (name_of("log_in_to_none", login) for login in ("long ago", "just now"))
    run(database, update(throttle).where(throttle.c.name == long_ago).values(last_at=_days_ago(3)))
    _do(database, clear_throttles)
    with database.reading() as transaction:
        names = set(transaction.connection.execute(select(throttle.c.name)).scalars())
    assert just_now in names
    assert long_ago not in names


def test_failures_of_no_account_are_deleted_after_a_while_and_what_was_done_with_accounts_stays(
    http: FlaskClient, database: Database, name: str
) -> None:
    for login, device in (("nobody", "long ago"), (name, "long ago"), ("nobody", "just now")):
        tried = {"login": login, "password": "another password", "device": f"{name} {device}"}
        assert http.post("/login", json=tried).status_code == 401
    of_service = {"user_id": 0, "service": name, "what": "created", "device": f"{name} long ago", "at": _days_ago(0)}
    run(database, insert(activity).values(of_service))
    is_old = activity.c.device == f"{name} long ago"
    run(database, update(activity).where(is_old).values(at=_days_ago(31)))
    _do(database, clear_failures)
    with database.reading() as transaction:
        left = select(activity.c.user_id > 0, activity.c.device).where(activity.c.device.startswith(name))
        rows = transaction.connection.execute(left.order_by(activity.c.id)).all()
    assert rows == [(True, f"{name} long ago"), (False, f"{name} just now"), (False, f"{name} long ago")]


def _session_of(tokens: dict[str, Any]) -> str:
    return str(parse(urlsafe_b64decode(tokens["access_token"].split(".")[1] + "=="))["sid"])


def _days_ago(days: int) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _do(database: Database, task: Callable[[Work], None]) -> None:
    with database.transaction() as transaction:
        task(Work(transaction, ANONYMOUS, "auth"))
        if transaction.outgoing:
            write(transaction.connection, transaction.outgoing)


def test_log_out_ends_the_session_at_once(http: FlaskClient, name: str) -> None:
    tokens = tokens_of(http, name)
    for _ in range(2):
        answer = http.post("/logout", json={"refresh_token": tokens["refresh_token"]})
        assert (answer.status_code, answer.data) == (204, b"")
    assert _refresh(http, tokens["refresh_token"]).status_code == 401
    assert code_of(http.get("/me", headers=bearer(tokens))) == (401, "auth.session_over")


def test_sessions_are_listed_and_ended(http: FlaskClient, name: str) -> None:
    here, phone, tablet = (tokens_of(http, name, device=device) for device in ("Here", "Phone", "Tablet"))
    listed = http.get("/sessions", headers=bearer(here)).json["sessions"]  # type: ignore[index]
    assert {each["device"]: each["current"] for each in listed} == {"Here": True, "Phone": False, "Tablet": False}
    ids = {each["device"]: each["id"] for each in listed}
    assert http.delete(f"/sessions/{ids['Phone']}", headers=bearer(here)).status_code == 204
    assert code_of(http.delete(f"/sessions/{ids['Phone']}", headers=bearer(here))) == (404, "auth.session_not_found")
    assert _refresh(http, phone["refresh_token"]).status_code == 401
    assert http.delete("/sessions", headers=bearer(here)).status_code == 204
    assert _refresh(http, tablet["refresh_token"]).status_code == 401
    assert _refresh(http, here["refresh_token"]).status_code == 200


def test_a_session_of_another_account_cannot_be_ended(http: FlaskClient, name: str) -> None:
    tokens = tokens_of(http, name)
    other = f"other{name}"
    register(http, other)
    others = tokens_of(http, other)
    session_id = http.get("/sessions", headers=bearer(tokens)).json["sessions"][0]["id"]  # type: ignore[index]
    assert http.delete(f"/sessions/{session_id}", headers=bearer(others)).status_code == 404
    assert _refresh(http, tokens["refresh_token"]).status_code == 200


def test_a_changed_password_ends_other_sessions(http: FlaskClient, name: str) -> None:
    here, other = tokens_of(http, name), tokens_of(http, name)
    new = "another horse battery staple"

    def change(current: str, new: str) -> TestResponse:
        fields = {"current_password": current, "new_password": new}
        return http.post("/password", json=fields, headers=bearer(here))

    assert code_of(change("wrong", new)) == (403, "auth.wrong_password")
    assert code_of(change(PASSWORD, "passwordpassword")) == (422, "weak-password")
    assert change(PASSWORD, f"{name}@example.org").status_code == 422
    assert change(PASSWORD, new).status_code == 204
    assert _refresh(http, other["refresh_token"]).status_code == 401
    assert _refresh(http, here["refresh_token"]).status_code == 200
    assert log_in(http, name).status_code == 401
    assert log_in(http, name, new).status_code == 200


def test_an_account_is_changed(http: FlaskClient, database: Database, name: str) -> None:
    headers = bearer(tokens_of(http, name))
    run(database, update(user).where(user.c.username == name).values(email_verified=True))
    fields = {"display_name": "Ann", "username": f"{name}x"}
    changed = http.patch("/me", json=fields, headers=headers).json
    assert changed is not None
    assert (changed["display_name"], changed["username"], changed["email_verified"]) == ("Ann", f"{name}x", True)
    changed = http.patch("/me", json={"email": f"{name}@example.com"}, headers=headers).json
    assert changed is not None
    assert (changed["email"], changed["email_verified"]) == (f"{name}@example.com", False)
    taken = f"taken{name}"
    register(http, taken)
    assert code_of(http.patch("/me", json={"username": taken.upper()}, headers=headers)) == (409, "auth.username_taken")
    assert code_of(http.patch("/me", json={"email": f"{taken}@example.org"}, headers=headers)) == (
        409,
        "auth.email_taken",
    )
    versions = [
        each["version"] for each in events_of(database, "auth.user_changed") if each["username"].startswith(name)
    ]
    assert versions == [1, 2, 3]


def test_an_account_is_deleted_with_its_password(http: FlaskClient, database: Database, name: str) -> None:
    tokens = tokens_of(http, name)
    assert code_of(http.delete("/me", json={"password": "wrong"}, headers=bearer(tokens))) == (
        403,
        "auth.wrong_password",
    )
    assert http.delete("/me", json={"password": PASSWORD}, headers=bearer(tokens)).status_code == 204
    assert log_in(http, name).status_code == 401
    assert _refresh(http, tokens["refresh_token"]).status_code == 401
    assert {"id": tokens["user"]["id"], "version": 2} in events_of(database, "auth.user_deleted")


def test_a_new_address_needs_a_recent_log_in(http: FlaskClient, database: Database, name: str) -> None:
    tokens, new = tokens_of(http, name), {"email": f"{name}@example.net"}
    age_sessions(database, tokens["user"]["id"])
    old = bearer(http.post("/token", json={"refresh_token": tokens["refresh_token"]}).json or {})
    for headers in (bearer(tokens), old):
        answer = http.patch("/me", json=new, headers=headers)
        assert code_of(answer) == (401, "auth.log_in_again")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    unchanged = {"email": f"{name}@example.org", "display_name": "Ann"}
    assert http.patch("/me", json=unchanged, headers=old).status_code == 200
    assert http.patch("/me", json=new, headers=bearer(tokens_of(http, name))).status_code == 200


def test_an_administrator_manages_accounts(http: FlaskClient, database: Database, name: str) -> None:
    boss = f"boss{name}"
    register(http, boss)
    plain = tokens_of(http, name)
    assert code_of(http.get("/users", headers=bearer(plain))) == (403, "insufficient-scope")
    make_admin(database, boss)
    admin = bearer(tokens_of(http, boss))
    user_id = plain["user"]["id"]
    page = http.get(f"/users?q={name.upper()}&limit=1", headers=admin).json
    assert page is not None
    assert [each["username"] for each in page["users"]] == [name]
    assert [each["username"] for each in http.get(page["next"], headers=admin).json["users"]] == [boss]  # type: ignore[index]
    roles = http.put(f"/users/{user_id}/roles", json={"roles": ["catalog:write", "catalog:write"]}, headers=admin)
    assert (roles.status_code, (roles.json or {})["roles"]) == (200, ["catalog:write"])
    assert http.put(f"/users/{user_id}/roles", json={"roles": ["king"]}, headers=admin).status_code == 422
    fresh = _refresh(http, plain["refresh_token"]).json
    assert fresh is not None
    assert parse(urlsafe_b64decode(fresh["access_token"].split(".")[1] + "=="))["scope"] == "catalog:write"
    assert http.post(f"/users/{user_id}/disable", headers=admin).json["disabled"] is True  # type: ignore[index]
    assert log_in(http, name).status_code == 401
    assert _refresh(http, fresh["refresh_token"]).status_code == 401
    assert http.get("/me", headers=bearer(fresh)).status_code == 401
    assert http.post(f"/users/{user_id}/enable", headers=admin).json["disabled"] is False  # type: ignore[index]
    again = tokens_of(http, name)
    assert http.get(f"/users/{user_id}", headers=admin).json["username"] == name  # type: ignore[index]
    assert code_of(http.get("/users/999999", headers=admin)) == (404, "auth.user_not_found")
    seen = http.get("/me/activity", headers=bearer(again)).json["activity"]  # type: ignore[index]
    assert [each["what"] for each in seen] == [
        "logged_in", "enabled", "log_in_failed", "disabled", "roles_changed", "logged_in", "registered",
    ]  # fmt: skip
    assert http.get(f"/users/{user_id}/activity", headers=admin).json["activity"] == seen  # type: ignore[index]


def test_the_last_administrator_stays_one(http: FlaskClient, database: Database, name: str) -> None:
    run(database, update(user).values(roles=""))
    make_admin(database, name)
    tokens = tokens_of(http, name)
    path, headers = f"/users/{tokens['user']['id']}", bearer(tokens)
    assert code_of(http.put(f"{path}/roles", json={"roles": []}, headers=headers)) == (409, "auth.last_admin")
    assert code_of(http.post(f"{path}/disable", headers=headers)) == (409, "auth.last_admin")


def test_the_setting_names_the_first_administrator(
    http: FlaskClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(application.service, "settings", AuthSettings(admin=f"{name.upper()}@example.org"))
    tokens = tokens_of(http, name)
    assert http.get("/me", headers=bearer(tokens)).json["roles"] == ["admin"]  # type: ignore[index]
    assert http.get("/users", headers=bearer(tokens)).status_code == 200


def test_the_keys_are_published(http: FlaskClient, name: str) -> None:
    token = tokens_of(http, name)["access_token"]
    header = parse(urlsafe_b64decode(token.split(".")[0] + "=="))
    answer = http.get("/.well-known/jwks.json").json
    assert answer is not None
    (key,) = answer["keys"]
    assert header == {"alg": "EdDSA", "typ": "at+jwt", "kid": key["kid"]}
    assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("OKP", "Ed25519", "sig", "EdDSA")
    assert "d" not in key


def test_addresses_of_private_networks_need_a_setting(http: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"username": "local", "email": "local@mail.local", "password": PASSWORD}
    assert code_of(http.post("/register", json=fields)) == (422, "auth.special_domain")
    monkeypatch.setattr(application.service, "settings", AuthSettings(special_domains=True))
    assert http.post("/register", json=fields).status_code == 201


def test_no_reply_with_tokens_is_stored(database: Database, http: FlaskClient, name: str) -> None:
    tokens_of(http, name)
    with database.reading() as transaction:
        names = set(transaction.connection.execute(select(inbox.c.operation)).scalars())
    assert not names & {"auth.log_in", "auth.refresh"}
