"""Second factors and introspection over HTTP, on the embedded system."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, select, update
from support.auth_over_http import PASSWORD, age_sessions, bearer, code_of, events_of, json_of, new_name, register, run
from support.secret_markers import SecretMarker, columns_with, files_with
from werkzeug.test import TestResponse

from auth.domain.throttling import OTP_FAILURES
from auth.main import application
from auth.settings import AuthSettings
from auth.storage import service_accounts
from auth.tables import activity, recovery_code, session, signing_key, throttle, totp, user
from bus.database.encryption import DatabaseKeys
from bus.database.engine import Database
from bus.database.tables import inbox, service_key
from bus.security.key_store import read_keys

WRONG = "gezd-gnbv-gy3t-qojq"


class Owner:
    """An account with a session, and what its authenticator app knows."""

    def __init__(self, http: FlaskClient, database: Database) -> None:
        self.http, self.database, self.name = http, database, new_name()
        assert register(http, self.name).status_code == 201
        tokens = self.log_in().json
        assert tokens is not None
        self.id, self.token = tokens["user"]["id"], tokens["access_token"]
        self.headers = bearer(tokens)
        self.secret, self.recovery_codes = "", [""]

    def log_in(self, **more: str) -> TestResponse:
        client = self.http.application.test_client()
        return client.post("/login", json={"login": self.name, "password": PASSWORD, **more})

    def enrol(self) -> TestResponse:
        return self.http.post("/mfa/totp", headers=self.headers)

    def confirm(self, code: str) -> TestResponse:
        return self.http.post("/mfa/totp/confirm", json={"code": code}, headers=self.headers)

    def remove(self) -> TestResponse:
        return self.http.delete("/mfa/totp", headers=self.headers)

    def enable(self) -> None:
        self.secret = json_of(self.enrol())["secret"]
        self.recovery_codes = json_of(self.confirm(self.code()))["recovery_codes"]

    def code(self, steps: int = 0) -> str:
        """A code that was not used, as after a while; the next one for `steps` 1."""
        run(self.database, update(totp).where(totp.c.user_id == self.id).values(last_step=0))
        return pyotp.TOTP(self.secret).at(time.time(), counter_offset=steps)

    def introspect(self, token: str) -> dict[str, Any]:
        answer = self.http.post("/introspect", json={"token": token}, headers=self.headers)
        assert answer.status_code == 200
        return json_of(answer)

    def activity(self) -> list[str]:
        of_this = select(activity.c.what).where(activity.c.user_id == self.id).order_by(activity.c.id)
        with self.database.reading() as transaction:
            return list(transaction.connection.execute(of_this).scalars())


@pytest.fixture
def owner(http: FlaskClient, database: Database) -> Owner:
    return Owner(http, database)


@pytest.fixture
def enabled(owner: Owner) -> Owner:
    """An account with a second factor."""
    owner.enable()
    return owner


# Enrolling, confirming, removing.


def test_a_second_factor_is_enrolled_confirmed_used_and_removed(owner: Owner) -> None:
    enrolled = owner.enrol()
    assert (enrolled.status_code, enrolled.headers["Cache-Control"]) == (201, "no-store")
    assert json_of(enrolled).keys() == {"secret", "uri"}
    owner.secret = json_of(enrolled)["secret"]
    uri = urlsplit(json_of(enrolled)["uri"])
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", f"/Errand:{owner.name}")
    assert parse_qs(uri.query)["secret"] == [owner.secret]
    assert owner.log_in().status_code == 200  # it is not confirmed
    confirmed = owner.confirm(owner.code())
    assert (confirmed.status_code, confirmed.headers["Cache-Control"]) == (200, "no-store")
    assert len(set(json_of(confirmed)["recovery_codes"])) == 10
    assert code_of(owner.log_in()) == (401, "auth.otp_required")
    assert owner.log_in(otp=owner.code()).status_code == 200
    assert owner.remove().status_code == 204
    assert owner.log_in().status_code == 200
    assert code_of(owner.remove()) == (409, "auth.totp_not_enrolled")
    assert [what for what in owner.activity() if "totp" in what] == ["totp_enrolled", "totp_confirmed", "totp_removed"]


def test_what_comes_in_another_order_is_refused(owner: Owner) -> None:
    assert code_of(owner.confirm("123456")) == (409, "auth.totp_not_enrolled")
    first = owner.secret = json_of(owner.enrol())["secret"]
    old_code = owner.code()
    owner.secret = json_of(owner.enrol())["secret"]
    assert owner.secret != first
    assert code_of(owner.confirm(old_code)) == (403, "auth.wrong_code")
    assert owner.confirm(owner.code()).status_code == 200
    assert code_of(owner.enrol()) == (409, "auth.totp_enabled")
    assert code_of(owner.confirm(owner.code())) == (409, "auth.totp_enabled")


def test_a_secret_that_is_not_confirmed_can_be_removed_and_is_no_event(owner: Owner, database: Database) -> None:
    owner.enrol()
    assert owner.remove().status_code == 204
    assert code_of(owner.confirm("123456")) == (409, "auth.totp_not_enrolled")
    assert _events(database, owner) == []


def test_each_change_is_an_event_with_the_next_version(enabled: Owner, database: Database) -> None:
    enabled.remove()
    enabled.enable()
    states = [(event["enabled"], event["version"]) for event in _events(database, enabled)]
    assert states == [(True, 1), (False, 2), (True, 3)]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/mfa/totp"), ("POST", "/mfa/totp/confirm"), ("DELETE", "/mfa/totp")]
)
def test_they_need_a_session(http: FlaskClient, owner: Owner, method: str, path: str) -> None:
    fields = {"code": "123456"} if path.endswith("confirm") else {}
    assert http.open(path, method=method, json=fields).status_code == 401
    run(owner.database, session.delete().where(session.c.user_id == owner.id))
    assert code_of(http.open(path, method=method, json=fields, headers=owner.headers)) == (401, "auth.session_over")


def test_a_deleted_account_leaves_no_secret(enabled: Owner, http: FlaskClient, database: Database) -> None:
    assert http.delete("/me", json={"password": PASSWORD}, headers=enabled.headers).status_code == 204
    with database.reading() as transaction:
        for table in (totp, recovery_code):
            assert not transaction.connection.execute(select(table).where(table.c.user_id == enabled.id)).all()


# Log-in.


def test_a_code_counts_once_and_so_do_those_before_it(enabled: Owner) -> None:
    now, later = enabled.code(), enabled.code(1)
    assert enabled.log_in(otp=later).status_code == 200
    assert code_of(enabled.log_in(otp=later)) == (401, "auth.wrong_otp")
    assert code_of(enabled.log_in(otp=now)) == (401, "auth.wrong_otp")


def test_the_code_that_has_confirmed_is_used(owner: Owner) -> None:
    owner.secret = json_of(owner.enrol())["secret"]
    code = owner.code()
    assert owner.confirm(code).status_code == 200
    assert code_of(owner.log_in(otp=code)) == (401, "auth.wrong_otp")


def test_of_twenty_log_ins_with_one_code_one_succeeds(enabled: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (enabled.code(), enabled.recovery_codes[0]):
        with ThreadPoolExecutor(10) as clients:
            answers = list(clients.map(lambda _, otp=code: enabled.log_in(otp=otp).status_code, range(20)))  # type: ignore[misc]
        assert answers.count(200) == 1
        assert set(answers) <= {200, 401, 429}
        run(enabled.database, throttle.delete())


def test_each_recovery_code_logs_in_once(enabled: Owner) -> None:
    first, second = enabled.recovery_codes[:2]
    assert enabled.log_in(otp=first.upper().replace("-", " ")).status_code == 200
    assert code_of(enabled.log_in(otp=first)) == (401, "auth.wrong_otp")
    assert enabled.log_in(otp=second).status_code == 200
    assert [what for what in enabled.activity() if "recovery" in what] == ["recovery_code_used"] * 2


def test_recovery_codes_of_another_account_and_of_before_are_worth_nothing(
    enabled: Owner, http: FlaskClient, database: Database
) -> None:
    old = enabled.recovery_codes[0]
    enabled.remove()
    enabled.enable()
    other = Owner(http, database)
    other.enable()
    for code in (old, other.recovery_codes[0]):
        assert code_of(enabled.log_in(otp=code)) == (401, "auth.wrong_otp")


def test_a_wrong_password_is_answered_as_without_a_second_factor(enabled: Owner, http: FlaskClient) -> None:
    wrong = http.post("/login", json={"login": enabled.name, "password": "wrong", "otp": enabled.code()})
    assert code_of(wrong) == (401, "auth.wrong_credentials")


def test_an_account_without_a_second_factor_needs_no_code(owner: Owner) -> None:
    assert owner.log_in(otp="123456").status_code == 200


def test_wrong_codes_are_throttled_apart_from_passwords(enabled: Owner, database: Database) -> None:
    codes = [code_of(enabled.log_in(otp=WRONG)) for _ in range(OTP_FAILURES.free)]
    assert codes == [(401, "auth.wrong_otp")] * OTP_FAILURES.free
    run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
    blocked = enabled.log_in(otp=enabled.code())
    assert code_of(blocked) == (429, "auth.too_many_tries")
    assert 90 <= int(blocked.headers["Retry-After"]) <= 100
    assert code_of(enabled.log_in()) == (401, "auth.otp_required")  # the password is not throttled
    run(database, update(throttle).values(waits_until=datetime.now(UTC)))
    assert enabled.log_in(otp=enabled.code()).status_code == 200
    assert code_of(enabled.log_in(otp=WRONG)) == (401, "auth.wrong_otp")  # counted from one again
    assert enabled.activity().count("otp_refused") == OTP_FAILURES.free + 1


def test_guesses_at_confirming_are_throttled(owner: Owner, database: Database) -> None:
    owner.secret = json_of(owner.enrol())["secret"]
    assert {code_of(owner.confirm(WRONG)) for _ in range(OTP_FAILURES.free)} == {(403, "auth.wrong_code")}
    run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
    assert code_of(owner.confirm(owner.code())) == (429, "auth.too_many_tries")


def test_a_right_password_without_a_code_does_not_forget_wrong_ones(enabled: Owner, http: FlaskClient) -> None:
    for _ in range(4):
        assert http.post("/login", json={"login": enabled.name, "password": "wrong"}).status_code == 401
        assert code_of(enabled.log_in()) == (401, "auth.otp_required")
    assert http.post("/login", json={"login": enabled.name, "password": "wrong"}).status_code == 401
    assert code_of(enabled.log_in()) == (429, "auth.too_many_tries")


def test_codes_and_secrets_rest_nowhere_readable(
    enabled: Owner, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no column and no file of the database; the search finds a secret once the encryption is switched off."""
    used, otp = enabled.recovery_codes[0], enabled.code()
    assert enabled.log_in(otp=used).status_code == 200
    assert enabled.log_in(otp=otp).status_code == 200
    sought = [enabled.secret, enabled.token, *enabled.recovery_codes, *(code.replace("-", "") for code in [used])]
    with database.reading() as transaction:
        assert not set(transaction.connection.execute(select(inbox.c.operation)).scalars()) & {
            "auth.log_in", "auth.enrol_totp", "auth.confirm_totp", "auth.introspect",
        }  # fmt: skip
        keys = transaction.connection.execute(select(signing_key.c.private_jwk)).scalars()
        sought += [json.loads(key)["d"] for key in keys]
        sought += [json.loads(key.private_jwk)["d"] for key in read_keys(database).values()]
        sought += transaction.connection.execute(select(service_key.c.secret)).scalars()
    markers = [SecretMarker(each) for each in sought]
    assert columns_with(markers, f"sqlite:///{folder}/auth.db") == []
    assert files_with(markers, folder) == []
    monkeypatch.setattr(DatabaseKeys, "encrypt", lambda _self, text: text)
    another = Owner(enabled.http, enabled.database)
    marker = SecretMarker(json_of(another.enrol())["secret"])
    assert columns_with([marker], f"sqlite:///{folder}/auth.db") == ["totps.secret"]
    assert files_with([marker], folder) == ["auth.db-wal"]
    monkeypatch.undo()
    run(database, delete(totp).where(totp.c.user_id == another.id))


def test_an_administrator_without_a_second_factor_is_none_where_one_is_required(
    owner: Owner, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, update(user).where(user.c.id == owner.id).values(roles="admin catalog:write"))
    assert _scope(owner, json_of(owner.log_in())) == "admin catalog:write"
    monkeypatch.setattr(application.service, "settings", AuthSettings(require_totp="admin"))
    tokens = json_of(owner.log_in())
    assert _scope(owner, tokens) == "catalog:write"
    owner.enable()
    refreshed = owner.http.post("/token", json={"refresh_token": tokens["refresh_token"]})
    assert _scope(owner, json_of(refreshed)) == "admin catalog:write"
    assert owner.http.get("/users", headers=bearer(json_of(refreshed))).status_code == 200


def _scope(owner: Owner, tokens: dict[str, Any]) -> str:
    return str(owner.introspect(tokens["access_token"])["scope"])


# Introspection.


def test_an_account_asks_about_its_own_token(owner: Owner) -> None:
    found = owner.introspect(owner.token)
    assert found.pop("exp") - time.time() <= 600
    assert isinstance(found.pop("sid"), str)
    assert found == {
        "active": True,
        "scope": "",
        "username": owner.name,
        "token_type": "Bearer",
        "sub": str(owner.id),
        "aud": "urn:errand",
        "iss": "urn:errand:auth",
    }


def test_of_the_tokens_of_others_only_an_administrator_learns(
    owner: Owner, http: FlaskClient, database: Database
) -> None:
    asking = Owner(http, database)
    assert asking.introspect(owner.token) == {"active": False}
    run(database, update(user).where(user.c.id == asking.id).values(roles="admin"))
    asking.token = json_of(asking.log_in())["access_token"]
    asking.headers = {"Authorization": f"Bearer {asking.token}"}
    assert asking.introspect(owner.token)["sub"] == str(owner.id)
    assert asking.introspect(asking.token)["scope"] == "admin"
    given = _service_token(http, database)
    assert owner.introspect(given["access_token"]) == {"active": False}
    found = asking.introspect(given["access_token"])
    assert (found["username"], found["scope"], found["sub"]) == ("orders", "catalog:write", "service:orders")
    assert http.post(f"/users/{owner.id}/disable", headers=asking.headers).status_code == 200
    assert asking.introspect(owner.token) == {"active": False}


def test_a_token_of_an_ended_session_and_any_other_text_are_not_active(owner: Owner, http: FlaskClient) -> None:
    tokens = json_of(owner.log_in())
    assert owner.introspect(tokens["access_token"])["active"] is True
    assert http.post("/logout", json={"refresh_token": tokens["refresh_token"]}).status_code == 204
    for token in (tokens["access_token"], tokens["refresh_token"], owner.token[:-4] + "AAAA", "é", "a.b.c"):
        assert owner.introspect(token) == {"active": False}


def test_a_second_factor_needs_a_recent_log_in(owner: Owner, enabled: Owner) -> None:
    other = Owner(owner.http, owner.database)
    for each in (enabled, other):
        age_sessions(each.database, each.id)
    assert code_of(enabled.remove()) == (401, "auth.log_in_again")
    assert code_of(other.enrol()) == (401, "auth.log_in_again")
    enabled.headers = bearer(json_of(enabled.log_in(otp=enabled.code())))
    other.headers = bearer(json_of(other.log_in()))
    assert (enabled.remove().status_code, other.enrol().status_code) == (204, 201)


def test_asking_needs_a_session_and_a_token(owner: Owner, http: FlaskClient) -> None:
    assert http.post("/introspect", json={"token": owner.token}).status_code == 401
    assert http.post("/introspect", json={}, headers=owner.headers).status_code == 400
    run(owner.database, session.delete().where(session.c.user_id == owner.id))
    answer = http.post("/introspect", json={"token": owner.token}, headers=owner.headers)
    assert code_of(answer) == (401, "auth.session_over")


def _events(database: Database, owner: Owner) -> list[dict[str, Any]]:
    return [event for event in events_of(database, "auth.totp_changed") if event["id"] == owner.id]


def _service_token(http: FlaskClient, database: Database) -> dict[str, Any]:
    """That of the account of a service, which is no account of a person."""
    with database.transaction() as transaction:
        secret = service_accounts.create(transaction.connection, "orders", ["catalog:write"])
    wrong = http.post("/service-token", json={"client_id": "orders", "client_secret": f"{secret}x"})
    assert (wrong.status_code, json_of(wrong)["code"]) == (401, "auth.invalid_client")
    answer = http.post("/service-token", json={"client_id": "orders", "client_secret": secret})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    given = json_of(answer)
    assert http.get("/me", headers={"Authorization": f"Bearer {given['access_token']}"}).status_code == 401
    assert (given["token_type"], given["expires_in"]) == ("Bearer", 600)
    return given
