"""Access: who may use the console. They come with a token that is printed at the start, or with an account.

An account needs the role `admin`. A session is a random cookie; what it stands for is in the memory of this process, so
all end with it. They end after half an hour without a request, too.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bus.client.client import Client
from bus.contract.identity import key_set_query, log_in_command
from bus.contract.problems import Invalid, ProblemError, ReplyTimeout, Unavailable
from bus.security.access_tokens import verify

IDLE_SECONDS, LONGEST_SECONDS = 30 * 60.0, 8 * 3600.0
# Sessions at the same time; a new one ends the one that was used least recently.
MAX_SESSIONS = 100
ROLE = "admin"


@dataclass
class Session:
    """One operator's session. `csrf` must come with every form."""

    name: str
    begun_at: float
    seen_at: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))


class Denied(Exception):
    """A log-in that does not succeed. The message says why, to the person who tried."""


class Access:
    """The sessions of a console. `token` is the one that is printed; with `with_accounts`, people log in too."""

    def __init__(
        self, client: Client, token: str, *, with_accounts: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._token, self._clock = client, token, clock
        self.with_accounts = with_accounts
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def session(self, cookie: str, *, is_used: bool = True) -> Session | None:
        """The session of a cookie; None without one. Unless a page asks by itself (`is_used`), it is not idle now."""
        now = self._clock()
        with self._lock:
            found = self._sessions.get(cookie)
            if found is None or now - found.seen_at > IDLE_SECONDS or now - found.begun_at > LONGEST_SECONDS:
                self._sessions.pop(cookie, None)
                return None
            if is_used:
                found.seen_at = now
            return found

    def enter_with_token(self, token: str) -> str:
        """Begin a session with the printed token; returns its cookie. Raises Denied."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            raise Denied("This is not the token that the console has printed.")
        return self._begin("the console's token")

    def log_in(self, login: str, password: str, otp: str) -> str:
        """Begin a session with an account that has the role `admin`; returns its cookie. Raises Denied."""
        try:
            given = {"otp": otp} if otp else {}
            tokens = self._client.call(log_in_command()(login=login, password=password, device="console", **given))
            keys = {key.kid: key for key in self._client.call(key_set_query()()).keys}
            caller = verify(tokens.access_token, keys.get, time.time()).caller
        except (Unavailable, ReplyTimeout):
            raise Denied("Accounts cannot be asked for at the moment. Try again soon.") from None
        except Invalid:
            raise Denied("Give the name or address of an account, and its password.") from None
        except ProblemError as refused:
            raise Denied(refused.problem.detail) from None
        if ROLE not in caller.scopes:
            raise Denied(f"This account does not have the role {ROLE}.")
        return self._begin(login)

    def leave(self, cookie: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(cookie, None)

    def _begin(self, name: str) -> str:
        now, cookie = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda each: self._sessions[each].seen_at))
            self._sessions[cookie] = Session(name, now, now)
        return cookie
