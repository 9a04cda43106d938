"""Token keys: the public keys of the service that signs access tokens, as another service keeps them."""

import threading
import time
from collections.abc import Callable, Mapping

from bus.contract.identity import TOKEN_SERVICE, JsonWebKeySet, SigningJwk
from bus.contract.problems import ProblemError, Unavailable

# The keys are asked for again after this long, so that a withdrawn key is forgotten.
FRESH_SECONDS = 300.0
# While the other service does not answer, known keys are believed for this long. No token lives longer.
STALE_SECONDS = 3600.0
# For an unknown id they are asked for at once, but no more often than this: invented ids must not load the service.
UNKNOWN_SECONDS = 2.0


class TokenKeys:
    """The keys that `read` gives, by their ids. Safe to use from many threads."""

    def __init__(self, read: Callable[[], JsonWebKeySet]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._keys: Mapping[str, SigningJwk] = {}
        self._read_at = self._asked_at = float("-inf")
        self._trouble: Unavailable | None = None

    def key(self, kid: str) -> SigningJwk | None:
        """The key with this id; None if there is none.

        Raises Unavailable when that cannot be known now, and DatabaseUnavailable where `read` reads a database.
        """
        with self._lock:
            now = time.monotonic()
            is_known, age = kid in self._keys, now - self._read_at
            if age > (FRESH_SECONDS if is_known else UNKNOWN_SECONDS) and now - self._asked_at > UNKNOWN_SECONDS:
                self._ask(now)
            if self._trouble is not None and not (kid in self._keys and age <= STALE_SECONDS):
                raise Unavailable(self._trouble.problem.code, self._trouble.problem.detail)
            return self._keys.get(kid)

    def _ask(self, now: float) -> None:
        self._asked_at = now
        try:
            found = self._read()
        except ProblemError as error:  # no reply in time, or a service of another version refused
            detail = f"{TOKEN_SERVICE} did not give the keys to verify access tokens with: {error}"
            self._trouble = Unavailable("no-token-keys", detail)
        else:
            self._keys = {key.kid: key for key in found.keys}
            self._read_at, self._trouble = now, None
