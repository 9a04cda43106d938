"""Service tokens: what a service shows where it calls another in its own name.

A service account is made by an operator; its worker has the secret (NAME_CLIENT_SECRET) and gets access tokens for it,
as the client credentials grant of OAuth 2.0 has it (RFC 6749, section 4.4). Tokens are only in this process's memory.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from bus.contract.identity import (
    TOKEN_SERVICE,
    GetServiceToken,
    NotAuthorized,
    ServiceToken,
    insufficient_scope,
    invalid_token,
    service_token_command,
    token_required,
)
from bus.contract.problems import ProblemError
from bus.contract.refusals import Refusal, Refused

T = TypeVar("T")

# A token is renewed after this part of its life, so that none ends on its way, and auth may be away for the rest of it.
RENEWED_AFTER = 0.5
# Of a token's life, what counts as its end: the queue and our clock take their time.
MARGIN_SECONDS = 30.0
# Between two tries to renew a token that is still good.
PAUSE_SECONDS = 5.0

log = structlog.get_logger("bus.service")


class ServiceNotAuthorized(Exception):
    """The account of a service is refused: by auth, or by the service that it calls. The operator has to act."""


class ServiceTokens:
    """The access tokens of one service. `ask` asks auth for one. Safe to use from many threads."""

    def __init__(self, service: str, client_secret: str, ask: Callable[[GetServiceToken], ServiceToken]) -> None:
        self._service, self._secret, self._ask = service, client_secret, ask
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_at = self._ends_at = float("-inf")

    def use(self, call: Callable[[str | None], T], operation: str, *, may_renew: bool = True) -> T:
        """What `call` returns with a token; with None where the service has no account.

        Raises ServiceNotAuthorized where the token or its lack is refused, what `call` raises, and Unavailable or
        ReplyTimeout when no token can be had now.
        """
        token = self._read()
        try:
            return call(token)
        except (Refusal, Refused) as refusal:
            if refusal.problem.code != _INVALID or token is None or not may_renew:
                raise self._in_words(refusal, operation) from None
        self._forget(token)  # it was signed with a key that was withdrawn, say
        return self.use(call, operation, may_renew=False)

    def _read(self) -> str | None:
        if not self._secret:
            return None
        with self._lock:
            now = time.monotonic()
            if now >= self._renew_at:
                try:
                    self._renew(now)
                except (ProblemError, ServiceNotAuthorized):
                    if now >= self._ends_at:
                        raise
                    self._renew_at = now + PAUSE_SECONDS
            return self._token

    def _renew(self, now: float) -> None:
        try:
            found = self._ask(service_token_command()(client_id=self._service, client_secret=self._secret))
        except (Refusal, Refused) as refusal:
            raise self._failed(
                f"{TOKEN_SERVICE} refuses the secret of the service account {self._service}: {refusal} "
                f"Set {self._setting} to what `bus auth service-accounts create` or `new-secret` has printed for it."
            ) from None
        self._token, self._renew_at = found.access_token, now + RENEWED_AFTER * found.expires_in
        self._ends_at = now + found.expires_in - MARGIN_SECONDS

    def _forget(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._renew_at = self._ends_at = float("-inf")

    def _in_words(self, refusal: Refusal | Refused, operation: str) -> Exception:
        """The refusal itself, unless it is about who we are."""
        code = refusal.problem.code
        if code == _REQUIRED:
            remedy = (
                f"Make an account with `bus auth service-accounts create {self._service}`, and set {self._setting}."
            )
        elif code in (_INVALID, _INSUFFICIENT):
            remedy = f"`bus auth service-accounts list` shows the roles of {self._service}."
        else:
            return refusal
        return self._failed(f"{operation} refuses {self._service}: {refusal} {remedy}")

    def _failed(self, sentence: str) -> ServiceNotAuthorized:
        log.warning("service_not_authorized", service=self._service, reason=sentence)
        return ServiceNotAuthorized(sentence)

    @property
    def _setting(self) -> str:
        return f"{self._service.upper()}_CLIENT_SECRET"


def _code_of(error: NotAuthorized) -> str:
    return error.problem.code


_REQUIRED, _INVALID, _INSUFFICIENT = map(_code_of, (token_required(), invalid_token(), insufficient_scope("")))
