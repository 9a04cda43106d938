"""Accounts: the log-in of an operator with the service `auth`, and whether it still holds."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from bus.client.client import Client
from bus.contract.identity import (
    GivenTokens,
    log_in_command,
    log_out_command,
    own_account_query,
    refresh_command,
)
from bus.contract.problems import Invalid, ProblemError, ReplyTimeout, Unavailable
from bus.security.access_tokens import read_given

ROLE = "admin"
# An access token is renewed this long before its end, so that the one of a session is good for a call.
RENEW_SECONDS = 60.0
# Whether a log-in still holds is asked while a page waits for it.
ASK_SECONDS = 2.0

_AWAY = "Accounts cannot be asked for at the moment. Try again soon."


class Denied(Exception):
    """A log-in that does not succeed, or does not hold any more. The message says why, to the person."""


class AccountsAway(Exception):
    """Whether a log-in still holds cannot be found out now."""


@dataclass(frozen=True)
class AccountLogIn:
    """The tokens of an operator's session with auth. `ends_at` is when the access token ends, by the clock."""

    access_token: str
    refresh_token: str
    ends_at: float


class Accounts:
    """Logs accounts in that have the role `admin`. `clock` is in seconds."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client, self._clock = client, clock

    def log_in(self, login: str, password: str, otp: str, address: str) -> AccountLogIn:
        """Begin a session with auth, for the client at this address. Raises Denied."""
        try:
            given = {"otp": otp} if otp else {}
            command = log_in_command()(login=login, password=password, device="console", **given)
            held = self._with_role(self._client.call(command, client_address=address))
        except (Unavailable, ReplyTimeout):
            raise Denied(_AWAY) from None
        except Invalid:
            raise Denied("Give the name or address of an account, and its password.") from None
        except ProblemError as refused:
            raise Denied(refused.problem.detail) from None
        try:
            self.check(held)
        except AccountsAway:
            self.log_out(held)  # nobody will hold its tokens
            raise Denied(_AWAY) from None
        return held

    def is_ending(self, held: AccountLogIn) -> bool:
        """Whether a log-in must be renewed before it is used."""
        return held.ends_at - self._clock() < RENEW_SECONDS

    def renew(self, held: AccountLogIn) -> AccountLogIn:
        """The log-in with new tokens. Keep it before anything else is done: the old one can be renewed once.

        Auth takes a refresh token that comes again for stolen, and ends the session, unless it comes within ten seconds
        because the answer was lost. Raises Denied when the log-in has ended, or its tokens have no role any more, and
        AccountsAway.
        """
        command = refresh_command()(refresh_token=held.refresh_token)
        try:
            return self._with_role(self._client.call(command, timeout=ASK_SECONDS))
        except ProblemError as error:
            raise _ended_or_away(error) from None

    def check(self, held: AccountLogIn) -> None:
        """Whether the log-in holds: its session goes on, and its account is not disabled and has the role.

        Raises Denied if not, and AccountsAway.
        """
        try:
            account = self._client.call(own_account_query()(), timeout=ASK_SECONDS, token=held.access_token)
        except ProblemError as error:
            raise _ended_or_away(error) from None
        if ROLE not in account.roles:
            raise _without_role()

    def log_out(self, held: AccountLogIn) -> None:
        """End the session with auth; if that cannot be sent, it ends there when it is idle."""
        with suppress(ProblemError):
            self._client.send(log_out_command()(refresh_token=held.refresh_token), timeout=ASK_SECONDS)

    def _with_role(self, tokens: GivenTokens) -> AccountLogIn:
        """The log-in of these tokens. Raises Denied when they do not carry the role, and NotAuthorized.

        The stored roles do not say it: an administrator may need a second factor for them (AUTH_REQUIRE_TOTP).
        """
        held = AccountLogIn(tokens.access_token, tokens.refresh_token, self._clock() + tokens.expires_in)
        if ROLE not in read_given(tokens.access_token, time.time()).caller.scopes:
            self.log_out(held)
            raise _without_role()
        return held


def _ended_or_away(error: ProblemError) -> Denied | AccountsAway:
    return Denied("This log-in has ended.") if error.problem.status in (401, 403) else AccountsAway()


def _without_role() -> Denied:
    return Denied(f"This account does not have the role {ROLE}.")
