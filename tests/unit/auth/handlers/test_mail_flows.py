"""Flows with mails over HTTP, on the embedded system: a forgotten password, verified addresses, registration."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from structlog.testing import capture_logs
from support import auth_over_http
from support.auth_over_http import PASSWORD, address_of, bearer, code_of, json_of, log_in, register, run, tokens_of
from support.mailbox import Mailbox, text_of, token_in
from werkzeug.test import TestResponse

from auth.domain.throttling import ADDRESS_MAILS, MAILS
from auth.main import application
from auth.settings import AuthSettings
from auth.storage import mails
from auth.tables import activity, mail, metadata, registration, throttle, user
from bus.database.engine import Database
from bus.database.tables import inbox, outbox
from bus.testing.waiting import wait_until

NEW_PASSWORD = "another horse battery staple"
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def mailbox(http: FlaskClient) -> Mailbox:
    return Mailbox(application.service.data_dir / "mail")


@pytest.fixture
def verifying(monkeypatch: pytest.MonkeyPatch) -> None:
    _set(monkeypatch, verify_email=True)


def _set(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    monkeypatch.setattr(application.service, "settings", AuthSettings(**settings))


def _forgot(http: FlaskClient, address: str) -> TestResponse:
    return http.post("/password/forgot", json={"email": address})


def _reset(http: FlaskClient, token: str, password: str = NEW_PASSWORD) -> TestResponse:
    return http.post("/password/reset", json={"token": token, "new_password": password})


def _verify(http: FlaskClient, token: str) -> TestResponse:
    return http.post("/email/verify", json={"token": token})


def _resend(http: FlaskClient, address: str) -> TestResponse:
    return http.post("/email/resend", json={"email": address})


def _row(database: Database, name: str) -> Any:
    with database.reading() as transaction:
        return transaction.connection.execute(select(user).where(user.c.username == name)).one_or_none()


def _nothing_waits(database: Database) -> None:
    def is_done() -> bool:
        with database.reading() as transaction:
            waiting = select(func.count()).select_from(mail).where(mail.c.state.in_(("waiting", "sending")))
            return transaction.connection.execute(waiting).scalar() == 0

    wait_until(is_done, WAIT_SECONDS, "no mail waits")


INVALID = (403, "auth.invalid_mail_token")


# A forgotten password.


def test_a_forgotten_password_is_replaced_and_all_sessions_end(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    session = json_of(log_in(http, name))
    assert _forgot(http, address_of(name).upper()).status_code == 202
    token = mailbox.token(address_of(name).upper().replace("EXAMPLE.ORG", "example.org"))
    answer = _reset(http, token)
    assert (answer.status_code, answer.data) == (204, b"")
    assert http.get("/me", headers=bearer(session)).status_code == 401
    assert http.post("/token", json={"refresh_token": session["refresh_token"]}).status_code == 401
    assert log_in(http, name).status_code == 401
    assert log_in(http, name, NEW_PASSWORD).status_code == 200
    assert _row(database, name).email_verified  # its owner has read the mail
    assert code_of(_reset(http, token)) == INVALID
    with database.reading() as transaction:
        of_this = activity.c.user_id == _row(database, name).id
        noted = transaction.connection.execute(select(activity.c.what).where(of_this)).scalars().all()
    assert "password_reset" in noted


def test_the_owner_gets_a_notice_of_a_changed_password_and_second_factor(
    http: FlaskClient, mailbox: Mailbox, name: str
) -> None:
    headers = bearer(tokens_of(http, name))
    change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert http.post("/password", json=change, headers=headers).status_code == 204
    secret = json_of(http.post("/mfa/totp", headers=headers))["secret"]
    code = {"code": pyotp.TOTP(secret).now()}
    assert http.post("/mfa/totp/confirm", json=code, headers=headers).status_code == 200
    assert http.delete("/mfa/totp", headers=headers).status_code == 204
    mailbox.wait_for(address_of(name), 3)
    mails = mailbox.to(address_of(name))
    assert sorted(mail["Subject"] for mail in mails) == [
        "Your account has a second factor",
        "Your account has no second factor any more",
        "Your password was changed",
    ]
    for each in mails:
        assert f"Hello {name}," in text_of(each)
        assert "/password/forgot" in text_of(each)
        assert secret not in each.as_string()


def test_a_reset_leaves_the_second_factor(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    headers = bearer(tokens_of(http, name))
    secret = json_of(http.post("/mfa/totp", headers=headers))["secret"]
    code = pyotp.TOTP(secret).now()
    recovery, *_ = json_of(http.post("/mfa/totp/confirm", json={"code": code}, headers=headers))["recovery_codes"]
    assert _forgot(http, address_of(name)).status_code == 202
    assert _reset(http, mailbox.token(address_of(name))).status_code == 204
    assert code_of(log_in(http, name, NEW_PASSWORD)) == (401, "auth.otp_required")
    assert log_in(http, name, NEW_PASSWORD, otp=recovery).status_code == 200


def test_a_reset_ends_the_wait_after_wrong_passwords(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    for _ in range(5):
        log_in(http, name, "wrong")
    run(database, update(throttle).values(waits_until=datetime.now(UTC) + timedelta(seconds=100)))
    assert log_in(http, name).status_code == 429
    run(database, throttle.delete().where(throttle.c.name.like("forgot:%")))
    _forgot(http, address_of(name))
    assert _reset(http, mailbox.token(address_of(name))).status_code == 204
    assert log_in(http, name, NEW_PASSWORD).status_code == 200


def test_a_weak_password_does_not_use_up_the_token(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    _forgot(http, address_of(name))
    token = mailbox.token(address_of(name))
    assert code_of(_reset(http, token, "password1234")) == (422, "weak-password")
    assert code_of(_reset(http, token, address_of(name))) == (422, "auth.weak_password")
    assert _reset(http, token).status_code == 204


def test_of_fifty_resets_with_one_token_one_succeeds(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    _forgot(http, address_of(name))
    token = mailbox.token(address_of(name))
    client = http.application.test_client
    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda n: _reset(client(), token, f"{NEW_PASSWORD} {n}").status_code, range(50)))
    assert (answers.count(204), answers.count(403)) == (1, 49)


def test_the_first_reset_makes_other_tokens_worthless_and_so_does_a_changed_password(
    http: FlaskClient, mailbox: Mailbox, name: str
) -> None:
    _forgot(http, address_of(name))
    first = mailbox.token(address_of(name))
    _forgot(http, address_of(name))
    second = mailbox.token(address_of(name), 2)
    assert first != second
    assert _reset(http, second).status_code == 204
    assert code_of(_reset(http, first)) == INVALID
    _forgot(http, address_of(name))
    third = mailbox.token(address_of(name), 3)
    headers = bearer(tokens_of(http, name, NEW_PASSWORD))
    fields = {"current_password": NEW_PASSWORD, "new_password": PASSWORD}
    assert http.post("/password", json=fields, headers=headers).status_code == 204
    assert code_of(_reset(http, third)) == INVALID


def test_a_token_ends(http: FlaskClient, mailbox: Mailbox, database: Database, name: str) -> None:
    _forgot(http, address_of(name))
    token = mailbox.token(address_of(name))
    run(database, update(mail).where(mail.c.address == address_of(name)).values(ends_at=datetime.now(UTC)))
    assert code_of(_reset(http, token)) == INVALID


def test_a_token_with_another_end_is_not_the_one_of_the_mail(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    _forgot(http, address_of(name))
    token = mailbox.token(address_of(name))
    later = datetime.now(UTC) + timedelta(days=1)
    run(database, update(mail).where(mail.c.address == address_of(name)).values(ends_at=later))
    assert code_of(_reset(http, token)) == INVALID


@pytest.mark.parametrize(
    "garble",
    [
        lambda token: token[:-1],
        lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
        lambda token: ("A" if token[0] != "A" else "B") + token[1:],
        lambda token: token + "AAAA",
        lambda token: token.lower(),
        lambda token: "é" * 64,
        lambda token: "x",
        lambda token: "A" * 64,
    ],
)
def test_what_is_not_the_token_is_refused(
    http: FlaskClient, mailbox: Mailbox, garble_account: tuple[str, str], garble: Callable[[str], str]
) -> None:
    _, token = garble_account
    assert garble(token) != token
    assert code_of(_reset(http, garble(token))) == INVALID
    assert code_of(_verify(http, garble(token))) == INVALID


@pytest.fixture(scope="module")
def garble_account(http: FlaskClient, mailbox: Mailbox) -> tuple[str, str]:
    name = auth_over_http.new_name()
    register(http, name)
    _forgot(http, address_of(name))
    return name, mailbox.token(address_of(name))


def test_a_token_of_one_purpose_is_worth_nothing_for_another(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    _forgot(http, address_of(name))
    reset = mailbox.token(address_of(name))
    _resend(http, address_of(name))
    verify = mailbox.token(address_of(name), 2)
    assert code_of(_verify(http, reset)) == INVALID
    assert code_of(_reset(http, verify)) == INVALID
    assert (_verify(http, verify).status_code, _reset(http, reset).status_code) == (204, 204)


def test_known_unknown_and_disabled_addresses_get_the_same_answer_and_one_gets_a_mail(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    disabled = f"off{name}"
    register(http, disabled)
    run(database, update(user).where(user.c.username == disabled).values(disabled_at=datetime.now(UTC)))
    addresses = [address_of(name), address_of(f"no{name}"), address_of(disabled)]
    for ask in (_forgot, _resend):
        answers = [ask(http, address) for address in addresses]
        assert {answer.status_code for answer in answers} == {202}
        assert {answer.data for answer in answers} == {answers[0].data}
    _nothing_waits(database)
    assert [len(mailbox.to(address)) for address in addresses] == [2, 0, 0]


@pytest.mark.parametrize("ask", [_forgot, _resend])
def test_mails_to_one_address_are_limited_whether_it_has_an_account_or_not(
    http: FlaskClient, name: str, ask: Callable[[FlaskClient, str], TestResponse]
) -> None:
    for address in (address_of(name), address_of(f"no{name}")):
        assert [ask(http, address).status_code for _ in range(MAILS.free)] == [202] * MAILS.free
        limited = ask(http, address.upper())
        assert code_of(limited) == (429, "auth.too_many_tries")
        assert 50 <= int(limited.headers["Retry-After"]) <= 60


@pytest.mark.parametrize("path", ["/password/forgot", "/email/resend"])
def test_mails_that_one_network_asks_for_are_limited(http: FlaskClient, new_name: str, path: str) -> None:
    network = {"environ_base": {"REMOTE_ADDR": f"203.0.113.{len(path)}"}}
    asked = [{"email": address_of(f"{new_name}-{number}")} for number in range(ADDRESS_MAILS.burst + 1)]
    statuses = [http.post(path, json=each, **network).status_code for each in asked]  # type: ignore[arg-type]
    assert statuses == [202] * ADDRESS_MAILS.burst + [429]
    assert http.post(path, json=asked[-1]).status_code == 202  # from elsewhere


def test_an_account_that_was_disabled_or_has_another_address_by_now_keeps_its_password(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    _forgot(http, address_of(name))
    token = mailbox.token(address_of(name))
    of_this = update(user).where(user.c.username == name)
    run(database, of_this.values(disabled_at=datetime.now(UTC)))
    assert code_of(_reset(http, token)) == INVALID
    run(database, of_this.values(disabled_at=None, email_key="another@example.org"))
    assert code_of(_reset(http, token)) == INVALID
    run(database, of_this.values(email_key=address_of(name)))
    assert _reset(http, token).status_code == 204


# Verified addresses.


def test_an_address_is_verified_once(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    headers = bearer(tokens_of(http, name))
    assert json_of(http.get("/me", headers=headers))["email_verified"] is False
    assert _resend(http, address_of(name)).status_code == 202
    token = mailbox.token(address_of(name))
    assert _verify(http, token).status_code == 204
    assert json_of(http.get("/me", headers=headers))["email_verified"] is True
    assert code_of(_verify(http, token)) == INVALID


def test_a_new_address_counts_when_it_is_verified(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    headers, new = bearer(tokens_of(http, name)), address_of(f"new{name}")
    run(database, update(user).where(user.c.username == name).values(email_verified=True))
    shown = json_of(http.patch("/me", json={"email": new}, headers=headers))
    assert (shown["email"], shown["email_verified"]) == (new, False)
    token = mailbox.token(new)
    assert log_in(http, new).status_code == 401
    assert log_in(http, address_of(name)).status_code == 200
    _forgot(http, new)
    _forgot(http, address_of(name))
    reset = mailbox.token(address_of(name))
    assert len(mailbox.to(new)) == 1
    assert _verify(http, token).status_code == 204
    shown = json_of(http.get("/me", headers=headers))
    assert (shown["email"], shown["email_verified"]) == (new, True)
    assert log_in(http, new).status_code == 200
    assert log_in(http, address_of(name)).status_code == 401
    assert code_of(_reset(http, reset)) == INVALID  # it went to the old address
    assert "another address" in text_of(mailbox.wait_for(address_of(name), 2))


def test_a_token_is_bound_to_the_address_that_it_was_sent_to(http: FlaskClient, mailbox: Mailbox, name: str) -> None:
    headers, first, second = bearer(tokens_of(http, name)), address_of(f"first{name}"), address_of(f"second{name}")
    http.patch("/me", json={"email": first}, headers=headers)
    token = mailbox.token(first)
    http.patch("/me", json={"email": second}, headers=headers)
    assert code_of(_verify(http, token)) == INVALID
    http.patch("/me", json={"email": address_of(name)}, headers=headers)  # the old one: nothing waits any more
    assert json_of(http.get("/me", headers=headers))["email"] == address_of(name)
    assert code_of(_verify(http, mailbox.token(second))) == INVALID


def test_of_two_accounts_that_are_to_get_one_address_the_first_to_verify_has_it(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    other, new = f"other{name}", address_of(f"new{name}")
    register(http, other)
    for each in (name, other):
        assert http.patch("/me", json={"email": new}, headers=bearer(tokens_of(http, each))).status_code == 200
    mailbox.wait_for(new, 2)
    tokens = [token_in(message) for message in mailbox.to(new)]
    assert [_verify(http, token).status_code for token in tokens] == [204, 403]
    assert {_row(database, each).email for each in (name, other)} >= {new}
    run(database, throttle.delete())
    _resend(http, new)  # nobody gets a mail: it is verified
    _nothing_waits(database)
    assert len(mailbox.to(new)) == 2


def test_of_those_who_wait_for_one_address_each_gets_another_mail(
    http: FlaskClient, mailbox: Mailbox, name: str
) -> None:
    other, new = f"other{name}", address_of(f"new{name}")
    register(http, other)
    for each in (name, other):
        http.patch("/me", json={"email": new}, headers=bearer(tokens_of(http, each)))
    mailbox.wait_for(new, 2)
    _resend(http, new)
    mailbox.wait_for(new, 4)
    names = [each for message in mailbox.to(new) for each in (name, other) if f"Hello {each}," in text_of(message)]
    assert sorted(names) == sorted([name, other] * 2)


def test_new_addresses_of_one_account_are_limited(http: FlaskClient, name: str) -> None:
    headers = bearer(tokens_of(http, name))
    statuses = [
        http.patch("/me", json={"email": address_of(f"{n}{name}")}, headers=headers).status_code for n in range(4)
    ]
    assert statuses == [200, 200, 200, 429]
    assert http.patch("/me", json={"display_name": "Ann"}, headers=headers).status_code == 200


def test_a_taken_address_is_refused_without_verification_and_not_shown_with_it(
    http: FlaskClient, mailbox: Mailbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"other{name}"
    register(http, other)
    headers = bearer(tokens_of(http, name))
    change = {"email": address_of(other)}
    assert code_of(http.patch("/me", json=change, headers=headers)) == (409, "auth.email_taken")
    _set(monkeypatch, verify_email=True)
    assert http.patch("/me", json=change, headers=headers).status_code == 200
    assert "nothing was changed" in text_of(mailbox.wait_for(address_of(other)))
    assert "token=" not in text_of(mailbox.to(address_of(other))[0])


# Registration with verification.


@pytest.mark.usefixtures("verifying")
def test_an_account_is_made_when_its_address_is_verified(
    http: FlaskClient, mailbox: Mailbox, database: Database, new_name: str
) -> None:
    answer = register(http, new_name)
    assert answer.status_code == 201
    assert json_of(answer)["user"] == {"username": new_name, "email": address_of(new_name)}
    assert log_in(http, new_name).status_code == 401
    assert _row(database, new_name) is None
    token = mailbox.token(address_of(new_name))
    assert _verify(http, token).status_code == 204
    assert json_of(http.get("/me", headers=bearer(tokens_of(http, new_name))))["email_verified"] is True
    assert code_of(_verify(http, token)) == INVALID
    with database.reading() as transaction:
        bodies = transaction.connection.execute(select(outbox.c.body)).scalars().all()
        kept = transaction.connection.execute(select(registration).where(registration.c.username == new_name)).all()
    assert len([body for body in bodies if f'"username":"{new_name}"'.encode() in bytes(body)]) == 1
    assert kept == []


@pytest.mark.usefixtures("verifying")
def test_a_taken_address_gets_the_answer_of_a_free_one_and_its_owner_a_mail(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str, new_name: str
) -> None:
    """`name` is made by the fixture with verification, so it is verified first."""
    _verify(http, mailbox.token(address_of(name)))
    free, taken = f"free{name}", f"taken{name}"
    answers = [register(http, free), register(http, taken, address_of(name))]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert json_of(answers[0]).keys() == json_of(answers[1]).keys()
    assert json_of(answers[1])["user"] == {"username": taken, "email": address_of(name)}
    assert json_of(answers[0])["message"] == json_of(answers[1])["message"]
    notice = mailbox.wait_for(address_of(name), 2)
    assert "token=" not in text_of(notice)
    assert f"Hello {name}," in text_of(notice)
    _nothing_waits(database)
    # Neither name is free for another address, nor can one log in with either: nothing shows which address was taken.
    for each in (free, taken):
        assert code_of(register(http, each, address_of(f"x{each}"))) == (409, "auth.username_taken")
        assert code_of(log_in(http, each)) == (401, "auth.wrong_credentials")


@pytest.mark.usefixtures("verifying")
def test_a_second_registration_with_the_same_name_and_address_replaces_the_first(
    http: FlaskClient, mailbox: Mailbox, new_name: str
) -> None:
    register(http, new_name, password=NEW_PASSWORD)
    first = mailbox.token(address_of(new_name))
    assert register(http, new_name).status_code == 201
    second = mailbox.token(address_of(new_name), 2)
    assert code_of(_verify(http, first)) == INVALID
    assert _verify(http, second).status_code == 204
    assert log_in(http, new_name).status_code == 200


@pytest.mark.usefixtures("verifying")
def test_a_registration_gets_another_mail_and_both_tokens_are_good_once(
    http: FlaskClient, mailbox: Mailbox, new_name: str
) -> None:
    register(http, new_name)
    first = mailbox.token(address_of(new_name))
    assert _resend(http, address_of(new_name)).status_code == 202
    second = mailbox.token(address_of(new_name), 2)
    client = http.application.test_client
    with ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda n: _verify(client(), (first, second)[n % 2]).status_code, range(20)))
    assert (answers.count(204), answers.count(403)) == (1, 19)


@pytest.mark.usefixtures("verifying")
def test_a_name_that_another_account_has_got_meanwhile_is_refused_at_the_end(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str, new_name: str
) -> None:
    assert _verify(http, mailbox.token(address_of(name))).status_code == 204
    other = f"other{name}"
    register(http, other)
    run(database, update(user).where(user.c.username == name).values(username_key=other))
    token = mailbox.token(address_of(other))
    assert code_of(_verify(http, token)) == (409, "auth.username_taken")
    run(database, update(user).where(user.c.username == name).values(username_key=name))
    assert _verify(http, token).status_code == 204


@pytest.mark.usefixtures("verifying")
def test_registrations_of_one_address_are_limited(http: FlaskClient, new_name: str) -> None:
    statuses = [register(http, f"{new_name}-{n}", address_of(new_name)).status_code for n in range(4)]
    assert statuses == [201, 201, 201, 429]


@pytest.mark.usefixtures("verifying")
def test_a_registration_that_was_not_verified_frees_its_name(
    http: FlaskClient, database: Database, new_name: str
) -> None:
    register(http, new_name)
    run(database, update(registration).values(ends_at=datetime.now(UTC)))
    assert register(http, new_name, address_of(f"other{new_name}")).status_code == 201


def test_the_first_administrator_needs_a_verified_address_where_addresses_are_verified(
    http: FlaskClient, database: Database, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, verify_email=True, admin=address_of(name))
    assert json_of(http.get("/me", headers=bearer(tokens_of(http, name))))["roles"] == []
    run(database, update(user).where(user.c.username == name).values(email_verified=True))
    assert json_of(http.get("/me", headers=bearer(tokens_of(http, name))))["roles"] == ["admin"]


# Rows and files.


def test_no_token_is_in_the_database_and_the_log_says_where_the_mail_is(
    http: FlaskClient, mailbox: Mailbox, database: Database, name: str
) -> None:
    with capture_logs() as logs:
        _forgot(http, address_of(name))
        reset = mailbox.token(address_of(name))
        _nothing_waits(database)
        _resend(http, address_of(name))
        verify = mailbox.token(address_of(name), 2)
        _nothing_waits(database)
    sent = [each for each in logs if each["event"] == "mail_sent"]
    assert {Path(each["to"]).parent for each in sent} == {mailbox.folder.absolute()}
    assert all(Path(each["to"]).stat().st_mode & 0o777 == 0o600 for each in sent)
    assert _reset(http, reset).status_code == 204
    assert _verify(http, verify).status_code == 204
    found = [str(logs)]
    with database.reading() as transaction:
        for table in (*metadata.sorted_tables, inbox, outbox):
            found += map(str, transaction.connection.execute(select(table)).all())
        operations = set(transaction.connection.execute(select(inbox.c.operation)).scalars())
    assert not any(token in each for each in found for token in (reset, verify))
    assert not operations & {
        "auth.forgot_password", "auth.reset_password", "auth.verify_email", "auth.resend_verification",
    }  # fmt: skip


def test_a_mail_is_one_message_with_two_parts_and_a_link_to_the_public_url(
    http: FlaskClient, mailbox: Mailbox, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _set(monkeypatch, public_url="https://accounts.example.org/app/", reset_minutes=90)
    _forgot(http, address_of(name))
    message = mailbox.wait_for(address_of(name))
    token = token_in(message)
    assert f"https://accounts.example.org/app/password/reset?token={token}" in text_of(message)
    assert "within 90 minutes" in text_of(message)
    assert message["From"] == "no-reply@accounts.example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@accounts.example.org>")
    assert message.get_content_type() == "multipart/alternative"


def test_old_mails_and_registrations_are_deleted(database: Database, http: FlaskClient, name: str) -> None:
    _forgot(http, address_of(name))
    _forgot(http, address_of(f"kept{name}"))
    _nothing_waits(database)
    long_ago = datetime.now(UTC) - mails.KEPT - timedelta(minutes=1)
    run(database, update(mail).where(mail.c.address == address_of(name)).values(ends_at=long_ago))
    with database.transaction() as transaction:
        mails.purge(transaction.connection, 500)
        left = set(transaction.connection.execute(select(mail.c.address)).scalars())
    assert address_of(name) not in left
    assert address_of(f"kept{name}") in left
