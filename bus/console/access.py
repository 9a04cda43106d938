"""Access: who may use the console. They come with a token that is printed at the start, or with an account.

A session is a random cookie; what it stands for is in the memory of this process, so all end with it. They end after
half an hour without a request, too, and one of an account within a minute of the account's own log-in.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bus.client.client import Client
from bus.console.accounts import AccountLogIn, Accounts, AccountsAway, Denied

IDLE_SECONDS, LONGEST_SECONDS = 30 * 60.0, 8 * 3600.0
# Sessions at the same time; a new one ends the one that was used least recently.
MAX_SESSIONS = 100
# How old the last word of auth may be when a page is shown, and when something is changed. While auth is away, it is
# asked again this often: three times before a refresh token whose answer was lost is taken for stolen.
CONFIRM_SECONDS, MOST_UNCONFIRMED_SECONDS, ASK_AGAIN_SECONDS = 25.0, 60.0, 3.0

WRONG_TOKEN = "This is not the token of this console."  # noqa: S105  # words about it


@dataclass
class Session:
    """One operator's session; `log_in` is that of an account. `csrf` must come with every form."""

    name: str
    begun_at: float
    seen_at: float
    log_in: AccountLogIn | None = None
    confirmed_at: float = 0.0
    ask_at: float = 0.0
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))


class Access:
    """The sessions of a console. `token` is the one that is printed; with `with_accounts`, people log in too."""

    def __init__(
        self, client: Client, token: str, *, with_accounts: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._token, self._clock = token, clock
        self.with_accounts, self._accounts = with_accounts, Accounts(client, clock)
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def session(self, cookie: str, *, is_used: bool = True) -> Session | None:
        """The session of a cookie; None without one. Unless a page asks by itself (`is_used`), it is not idle now.

        May ask auth whether its log-in still holds.
        """
        now = self._clock()
        with self._lock:
            found = self._sessions.get(cookie)
            if found is None or now - found.seen_at > IDLE_SECONDS or now - found.begun_at > LONGEST_SECONDS:
                self._sessions.pop(cookie, None)
                return None
            if is_used:
                found.seen_at = now
            log_in = found.log_in if now >= found.ask_at else None
            if log_in is not None:
                found.ask_at = now + ASK_AGAIN_SECONDS  # others do not ask meanwhile
        if log_in is not None and not self._holds(cookie, found, log_in):
            self._forget(cookie)
            return None
        return found

    def may_change(self, session: Session) -> bool:
        """Whether the session may change something: its log-in held a minute ago."""
        return session.log_in is None or self._clock() - session.confirmed_at <= MOST_UNCONFIRMED_SECONDS

    def enter_with_token(self, token: str) -> str:
        """Begin a session with the printed token; returns its cookie. Raises Denied."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            raise Denied(WRONG_TOKEN)
        return self._begin("the console's token")

    def log_in(self, login: str, password: str, otp: str, address: str = "") -> str:
        """Begin a session with an account that has the role `admin`; returns its cookie. Raises Denied.

        `address` is that of the client, for the limits of auth.
        """
        return self._begin(login, self._accounts.log_in(login, password, otp, address))

    def leave(self, cookie: str) -> None:
        """End a session, and the log-in of its account."""
        session = self._forget(cookie)
        if session is not None and session.log_in is not None:
            self._accounts.log_out(session.log_in)

    def _holds(self, cookie: str, session: Session, log_in: AccountLogIn) -> bool:
        """Ask auth whether the log-in of a session holds. While auth is away, it does."""
        try:
            if self._accounts.is_ending(log_in):
                session.log_in = log_in = self._accounts.renew(log_in)
            self._accounts.check(log_in)
        except AccountsAway:
            if self._accounts.is_ending(log_in):
                self._ask_again(cookie, session)
            return True
        except Denied:
            return False
        session.confirmed_at = self._clock()
        session.ask_at = session.confirmed_at + CONFIRM_SECONDS
        return True

    def _ask_again(self, cookie: str, session: Session) -> None:
        """Ask for new tokens again soon, though nobody may look: auth may have given some, and the answer is lost."""
        again = threading.Timer(session.ask_at - self._clock(), self.session, [cookie], {"is_used": False})
        again.daemon = True
        again.start()

    def _begin(self, name: str, log_in: AccountLogIn | None = None) -> str:
        now, cookie = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= MAX_SESSIONS:
                self._sessions.pop(min(self._sessions, key=lambda each: self._sessions[each].seen_at))
            self._sessions[cookie] = Session(name, now, now, log_in, confirmed_at=now, ask_at=now + CONFIRM_SECONDS)
        return cookie

    def _forget(self, cookie: str) -> Session | None:
        with self._lock:
            return self._sessions.pop(cookie, None)
