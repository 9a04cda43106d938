"""Access: nothing is shown without a session, and nothing changes without the CSRF token of its forms."""

from typing import Any

import pytest
from support.access_tokens import Signer

from bus.client.client import Client
from bus.console.access import IDLE_SECONDS, LONGEST_SECONDS, MAX_SESSIONS, Access, Denied
from bus.contract.identity import GivenTokens, JsonWebKeySet, key_set_query, log_in_command
from bus.contract.problems import Unavailable
from bus.contract.refusals import Refusal

PATHS = ("/", "/live", "/dead-letters", "/dead-letters/catalog", "/dead-letters/catalog/actions", "/nothing")


def test_without_a_session_there_is_only_the_log_in(operating: Any) -> None:
    for path in PATHS:
        response = operating.http.get(path)
        assert (response.status_code, response.location) == (303, "/login"), path
    assert "The console prints it" in operating.get("/login")
    assert operating.http.post("/dead-letters/catalog/actions", data={"kind": "discard"}).status_code == 303
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
    assert operating.http.post("/logout", data={"csrf": "wrong"}).status_code == 403
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}):
        other = operating.http.post("/login", data={"token": "x"}, headers=headers)
        assert (other.status_code, other.text) == (403, "This form came from another page.")
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


class Accounts:
    """Stands for the client of a console: auth answers with this token, or this error."""

    def __init__(self, signer: Signer, scopes: str = "", error: Exception | None = None) -> None:
        self._signer, self._scopes, self._error = signer, scopes, error

    def call(self, request: Any) -> Any:
        if isinstance(request, log_in_command()):
            if self._error is not None:
                raise self._error
            return GivenTokens(access_token=self._signer.token(scope=self._scopes))
        assert isinstance(request, key_set_query())
        return JsonWebKeySet(keys=[self._signer.jwk])


def test_an_account_needs_the_role_admin() -> None:
    signer = Signer()
    access = _access(Accounts(signer, "catalog:write admin"))
    session = access.session(access.log_in("ada", "secret", ""))
    assert session is not None
    assert session.name == "ada"
    with pytest.raises(Denied, match="does not have the role admin"):
        _access(Accounts(signer, "catalog:write")).log_in("ada", "secret", "")
    with pytest.raises(Denied, match="There is no account with this name"):
        _access(Accounts(signer, error=WrongCredentials())).log_in("ada", "wrong", "")
    with pytest.raises(Denied, match="Accounts cannot be asked"):
        _access(Accounts(signer, error=Unavailable("no-worker", "No worker."))).log_in("ada", "wrong", "")
    forged = Accounts(Signer(), "admin")
    forged._signer, keys = signer, forged._signer  # a token that other keys have signed
    forged.call = lambda request, call=forged.call: (  # type: ignore[method-assign, misc]
        JsonWebKeySet(keys=[keys.jwk]) if isinstance(request, key_set_query()) else call(request)
    )
    with pytest.raises(Denied):
        _access(forged).log_in("ada", "secret", "")


def test_no_client_is_asked_for_what_is_no_name(memory_url: str) -> None:
    with Client(memory_url) as client, pytest.raises(Denied, match=r"at the moment|Give the name"):
        _access(client).log_in("", "", "")
