"""Access: nothing is shown without a session, and nothing changes without the CSRF token of its forms."""

import html
import json
import re
import time
from typing import Any

import pytest
from support.access_tokens import Signer
from support.html_page import HtmlPage

from auth.storage.sessions import REUSE_SECONDS
from bus.client.client import Client
from bus.console import access as access_module
from bus.console.access import ASK_AGAIN_SECONDS, CONFIRM_SECONDS, IDLE_SECONDS, LONGEST_SECONDS, MAX_SESSIONS, Access
from bus.console.accounts import ASK_SECONDS, Denied
from bus.console.application import LONG_FORM_BYTES
from bus.contract.identity import (
    GivenTokens,
    OwnAccount,
    log_in_command,
    log_out_command,
    own_account_query,
    refresh_command,
)
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.contract.refusals import Refusal
from bus.security.operators import Operator
from bus.testing.waiting import wait_until

WAIT_SECONDS = 30.0

PATHS = ("/", "/live", "/dead-letters", "/dead-letters/catalog", "/actions", "/actions/catalog/1", "/nothing")
# What changes something, as a form would.
CHANGES = {
    "/dead-letters/catalog/actions": {"kind": "discard", "reason": "x"},
    "/actions/catalog/1/resume": {"rate": "1"},
    "/events/replay/begin": {"service": "catalog", "queue": "x", "since": "1h", "until": "1m"},
}


def test_without_a_session_there_is_only_the_log_in(operating: Any) -> None:
    for path in PATHS:
        response = operating.http.get(path)
        assert (response.status_code, response.location.partition("?")[0]) == (303, "/login"), path
    assert "The console prints it" in operating.get("/login")
    for path, form in CHANGES.items():
        response = operating.http.post(path, data=form)
        assert (response.status_code, response.location.partition("?")[0]) == (303, "/login"), path
    assert operating.http.get("/?token=wrong").location == "/login?denied=1"
    assert operating.http.post("/login", data={"token": "wrong"}).status_code == 403
    assert operating.http.post("/login", data={"login": "ada", "password": "x"}).status_code == 403
    assert operating.get("/health/live")


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(operating: Any) -> None:
    response = operating.http.get("/?token=the token that is printed")
    assert (response.status_code, response.location) == (303, "/")
    assert "HttpOnly; Path=/; SameSite=Strict" in response.headers["Set-Cookie"]
    page = operating.http.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "form-action 'self'" in policy
    assert "<script>" not in page.text
    assert page.headers["Cache-Control"] == "no-store"


def test_a_form_needs_its_token_and_our_own_origin(operating: Any) -> None:
    operating.enter()
    assert operating.http.post("/logout").status_code == 403
    old = operating.http.post("/logout", data={"csrf": "wrong"})
    assert (old.status_code, "This form is from before your log-in." in old.text) == (403, True)
    HtmlPage(old.text)
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}):
        other = operating.http.post("/login", data={"token": "x"}, headers=headers)
        assert (other.status_code, "This form came from another page." in other.text) == (403, True)
    assert operating.get("/")
    assert operating.post("/logout").location == "/login"
    assert operating.http.get("/").location == "/login"


def _access(client: Any, clock: Any = lambda: 0.0) -> Access:
    return Access(client, "token", with_accounts=True, clock=clock)


def test_a_session_ends_when_it_is_idle_or_old_and_when_there_are_too_many() -> None:
    now = [0.0]
    access = _access(None, lambda: now[0])
    cookie = access.enter_with_token("token")
    now[0] += IDLE_SECONDS - 1
    assert access.session(cookie) is not None
    now[0] += IDLE_SECONDS + 1
    assert access.session(cookie) is None
    cookie = access.enter_with_token("token")
    now[0] += IDLE_SECONDS - 1
    assert access.session(cookie, is_used=False) is not None
    now[0] += 2
    assert access.session(cookie) is None
    cookie = access.enter_with_token("token")
    begun = now[0]
    while now[0] < begun + LONGEST_SECONDS - IDLE_SECONDS:
        now[0] += IDLE_SECONDS - 1
        assert access.session(cookie) is not None
    now[0] += IDLE_SECONDS
    assert access.session(cookie) is None
    first = access.enter_with_token("token")
    now[0] += 1
    for _ in range(MAX_SESSIONS):
        access.enter_with_token("token")
    assert access.session(first) is None


class WrongCredentials(Refusal, code="auth.wrong_credentials", status=401):
    """There is no account with this name and password that may log in."""


class SessionOver(Refusal, code="auth.session_over", status=401):
    """The session of this access token has ended. Log in again."""


class Accounts:
    """Stands for the client of a console: auth answers for an account with these scopes, or with this error.

    `errors` are those of single operations, `roles` the stored ones, if they are not those of its tokens.
    """

    def __init__(self, signer: Signer, scopes: str = "", error: Exception | None = None) -> None:
        self._signer, self.scopes, self.error = signer, scopes, error
        self.errors: dict[str, Exception] = {}
        self.roles: str | None = None
        self.asked: list[tuple[str, str]] = []

    def call(self, request: Any, *, timeout: float = 0.0, token: str = "", client_address: str = "") -> Any:
        self.asked.append((request.operation_name, client_address))
        if error := self.error or self.errors.get(request.operation_name):
            raise error
        if isinstance(request, own_account_query()):
            assert token.count(".") == 2
            return OwnAccount(roles=(self.scopes if self.roles is None else self.roles).split())
        assert isinstance(request, log_in_command() | refresh_command())
        access_token = self._signer.token(scope=self.scopes)
        return GivenTokens(access_token=access_token, refresh_token=f"refresh-{len(self.asked)}", expires_in=600)

    def send(self, command: Any, *, timeout: float) -> None:
        assert isinstance(command, log_out_command())
        self.asked.append((command.operation_name, command.refresh_token))


def test_an_account_needs_the_role_admin() -> None:
    signer = Signer()
    access = _access(Accounts(signer, "catalog:write admin"))
    session = access.session(access.log_in("ada", "secret", ""))
    assert session is not None
    assert session.name == "ada"
    without = Accounts(signer, "catalog:write")
    with pytest.raises(Denied, match="does not have the role admin"):
        _access(without).log_in("ada", "secret", "")
    assert without.asked[-1][0] == "auth.log_out"
    with pytest.raises(Denied, match="There is no account with this name"):
        _access(Accounts(signer, error=WrongCredentials())).log_in("ada", "wrong", "")
    with pytest.raises(Denied, match="Accounts cannot be asked"):
        _access(Accounts(signer, error=Unavailable("no-worker", "No worker."))).log_in("ada", "wrong", "")


AWAY = Unavailable("no-worker", "No worker.")
LATE = ReplyTimeout("auth.refresh", "id", 2.0)


@pytest.mark.parametrize(("error", "said"), [(SessionOver(), "has ended"), (AWAY, "cannot be asked")])
def test_tokens_that_auth_does_not_take_are_no_log_in_and_leave_no_session(error: Exception, said: str) -> None:
    accounts = Accounts(Signer(), "admin")
    accounts.errors["auth.get_account"] = error
    with pytest.raises(Denied, match=said):
        _access(accounts).log_in("ada", "secret", "")
    if error is AWAY:
        assert accounts.asked[-1] == ("auth.log_out", "refresh-1")


def test_new_tokens_are_kept_though_auth_is_away_right_after() -> None:
    now, accounts = [0.0], Accounts(Signer(), "admin")
    access = _access(accounts, lambda: now[0])
    cookie = access.log_in("ada", "secret", "")
    accounts.errors["auth.get_account"] = AWAY
    now[0] += 700
    session = access.session(cookie)
    assert session is not None
    assert not access.may_change(session)
    renewed = session.log_in
    accounts.errors.clear()
    now[0] += ASK_AGAIN_SECONDS
    assert access.session(cookie) is session
    assert access.may_change(session)
    assert session.log_in is renewed
    assert [name for name, _ in accounts.asked].count("auth.refresh") == 1


def test_when_the_answer_with_new_tokens_is_lost_they_are_asked_for_again_before_that_looks_like_a_theft(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ASK_SECONDS < ASK_AGAIN_SECONDS
    assert 3 * ASK_AGAIN_SECONDS < REUSE_SECONDS
    monkeypatch.setattr(access_module, "ASK_AGAIN_SECONDS", 0.01)
    accounts, passed = Accounts(Signer(), "admin"), [0.0]
    access = _access(accounts, lambda: time.monotonic() + passed[0])
    cookie = access.log_in("ada", "secret", "")
    accounts.errors["auth.refresh"] = LATE
    passed[0] = 700.0
    session = access.session(cookie)  # and nobody looks after this
    assert session is not None
    assert session.log_in is not None
    old = session.log_in.refresh_token
    wait_until(lambda: [name for name, _ in accounts.asked].count("auth.refresh") > 2, WAIT_SECONDS, "it asks again")
    accounts.errors.clear()
    wait_until(lambda: session.log_in and session.log_in.refresh_token != old, WAIT_SECONDS, "it has new tokens")


def test_what_counts_are_the_roles_of_the_tokens_not_those_that_are_stored() -> None:
    now, accounts = [0.0], Accounts(Signer(), "")
    accounts.roles = "admin"  # an administrator without the second factor that AUTH_REQUIRE_TOTP asks for
    access = _access(accounts, lambda: now[0])
    with pytest.raises(Denied, match="does not have the role admin"):
        access.log_in("ada", "secret", "")
    accounts.scopes = "admin"
    cookie = access.log_in("ada", "secret", "")
    accounts.scopes = ""
    now[0] += 541
    assert access.session(cookie) is None


def test_no_client_is_asked_for_what_is_no_name(memory_url: str) -> None:
    with Client(memory_url) as client, pytest.raises(Denied, match=r"at the moment|Give the name"):
        _access(client).log_in("", "", "")


@pytest.mark.parametrize("ends_by", ["role", "session"])
def test_a_role_that_is_taken_away_and_a_session_that_ended_end_the_consoles_within_a_minute(ends_by: str) -> None:
    now, accounts = [0.0], Accounts(Signer(), "admin")
    access = _access(accounts, lambda: now[0])
    cookie = access.log_in("ada", "secret", "", "203.0.113.9")
    assert ("auth.log_in", "203.0.113.9") in accounts.asked
    for _ in range(100):  # longer than an access token lives
        now[0] += CONFIRM_SECONDS + 1
        assert access.session(cookie, is_used=True) is not None
    names = [name for name, _ in accounts.asked]
    assert names.count("auth.get_account") > 80
    assert names.count("auth.refresh") >= 4
    if ends_by == "role":
        accounts.scopes = "catalog:write"
    else:
        accounts.error = SessionOver()
    now[0] += CONFIRM_SECONDS + 1
    assert access.session(cookie) is None


def test_a_role_that_is_taken_away_ends_the_session_when_its_token_is_renewed_too() -> None:
    now, accounts = [0.0], Accounts(Signer(), "admin")
    access = _access(accounts, lambda: now[0])
    cookie = access.log_in("ada", "secret", "")
    accounts.scopes = ""
    now[0] += 700
    assert access.session(cookie) is None
    assert "auth.refresh" in [name for name, _ in accounts.asked]


def test_while_accounts_are_away_everything_is_shown_and_nothing_changes() -> None:
    now, accounts = [0.0], Accounts(Signer(), "admin")
    access = _access(accounts, lambda: now[0])
    cookie = access.log_in("ada", "secret", "")
    accounts.error = Unavailable("no-worker", "No worker.")
    now[0] += 50
    session = access.session(cookie)
    assert session is not None
    assert access.may_change(session)
    asked = len(accounts.asked)
    assert access.session(cookie) is session
    assert len(accounts.asked) == asked  # not with every request
    now[0] += 20
    assert access.session(cookie) is session
    assert not access.may_change(session)
    accounts.error = None
    now[0] += 20
    assert access.session(cookie) is session
    assert access.may_change(session)


def test_what_may_not_be_changed_is_said_and_log_out_is_possible(operating: Any) -> None:
    now, accounts = [0.0], Accounts(Signer(), "admin")
    operating.console.access = access = _access(accounts, lambda: now[0])
    operating.reload()
    operating.http.post("/login", data={"login": "ada", "password": "x"})
    assert "ada" in operating.get("/")
    assert 'name="as_me" checked' in operating.get("/call/catalog.create_product")
    accounts.error = Unavailable("no-worker", "No worker.")
    now[0] += 120
    assert "ada" in operating.get("/dead-letters")
    refused = operating.post("/call/catalog.get_product", **{"field.product_id": "1"})
    assert (refused.status_code, "accounts do not answer" in refused.text) == (503, True)
    for path, form in CHANGES.items():
        assert operating.post(path, **form).status_code == 503, path
    assert operating.post("/dead-letters/catalog/preview", kind="discard", state="dead").status_code == 200
    operating.console.replays.start(Operator("ada", "token"), "catalog", 1, rate=1, growing=False)
    assert operating.post("/actions/catalog/1/stop").status_code == 303
    assert operating.console.replays.of("catalog", 1).replay._stopping.is_set()
    assert operating.post("/logout").status_code == 303
    assert accounts.asked[-1][0] == "auth.log_out"
    assert access._sessions == {}


def test_the_token_needs_no_account(operating: Any) -> None:
    operating.enter()
    assert "as_me" not in operating.get("/call/catalog.create_product")


def test_the_cookie_is_secure_where_the_client_came_by_https(operating: Any) -> None:
    for scheme, is_secure in (("http", False), ("https", True)):
        response = operating.http.get("/?token=the token that is printed", base_url=f"{scheme}://console.example")
        assert ("Secure" in response.headers["Set-Cookie"]) is is_secure


def test_a_form_with_a_message_may_be_long_and_no_other(operating: Any) -> None:
    operating.enter()
    tags = json.dumps(["x" * 250_000])
    shown = operating.post("/call/catalog.create_product", **{"field.tags": tags})
    assert (shown.status_code, "tags" in shown.text) == (400, True)
    assert operating.post("/call/catalog.create_product", **{"field.tags": "x" * LONG_FORM_BYTES}).status_code == 413
    assert operating.post("/dead-letters/catalog/preview", kind="x" * 70_000).status_code == 413


def test_a_fault_leads_back_to_what_was_asked_for_and_a_page_that_is_none_to_the_overview(operating: Any) -> None:
    operating.enter()
    away = operating.get("/dead-letters/nothing?state=any", 404)
    assert "There is no service nothing." in away
    assert "Try again" not in away
    assert "There is no such page." in operating.get("/nothing", 404)
    assert "This address takes a form, and is no page." in operating.get("/dead-letters/catalog/preview", 405)
    operating.console._operator_token = "not that of the worker"
    refused = operating.get("/dead-letters/catalog?state=any&error=fault", 403)
    assert "For operators only" in refused


def test_a_log_in_leads_to_the_page_that_was_asked_for_and_to_none_of_others(operating: Any) -> None:
    wanted = "/dead-letters/catalog?state=any&error=%3Cb%3E"
    page = operating.get(operating.http.get(wanted).location)
    HtmlPage(page)
    (hidden,) = set(re.findall(r'name="next" value="([^"]+)"', page))
    form = {"token": "the token that is printed", "next": html.unescape(hidden)}
    assert operating.http.post("/login", data={**form, "token": "wrong"}).text.count(hidden) == 1
    assert operating.http.post("/login", data=form).location == wanted
    for other in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example", "evil", ""):
        assert operating.http.post("/login", data={**form, "next": other}).location == "/", other
    assert operating.http.get("/logout").status_code == 405
    for path in ("/", "/live", "/events/live?name=a"):
        operating.reload()
        assert operating.http.get(path).location == "/login", path
