"""The sealer: seals the secrets of the requests that a client sends."""

import time
from collections.abc import Callable
from typing import Any

from bus.contract.builtin import SealingKey
from bus.contract.codec import encode_fields, parse, read_json
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation, service_of
from bus.contract.problems import Problem, ProblemError, Unavailable
from bus.security.seal import SEALED, TOKEN, seal

# A service's key is fetched again after this long. Until then a retired key is used, which the service can still open.
FRESH_SECONDS = 300.0
# Sealed tokens are kept, as a caller sends the same one many times. Beyond this many the oldest is forgotten.
MAX_TOKENS = 1000

Ask = Callable[[str, float], SealingKey]


class Sealer:
    """`ask(service, deadline)` fetches the key of a service or raises ProblemError. Deadlines are time.monotonic()."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._keys: dict[str, tuple[float, SealingKey]] = {}
        self._tokens: dict[tuple[str, str, str], str] = {}

    def sealed(self, operation: type[Operation[Any]], body: bytes, deadline: float) -> bytes:
        """Seal the secrets of a valid body; a body without secrets is returned as it is.

        Raises Unavailable when the service gives no key. Nothing was sent then.
        """
        secrets = secrets_of(operation)
        if not secrets:
            return body
        fields = parse(body)
        plain = {name: fields.pop(name) for name in secrets & fields.keys()}
        if not plain:
            return body
        key = self._key_of(service_of(operation), deadline)
        fields[SEALED] = seal(encode_fields(plain), operation.operation_name, key.kid, key.jwk)
        return encode_fields(fields)

    def sealed_token(self, operation: type[Operation[Any]], token: str, deadline: float) -> str:
        """The value of the header `authorization` with this access token. Raises Unavailable as `sealed` does."""
        key = self._key_of(service_of(operation), deadline)
        place = (operation.operation_name, key.kid, token)
        found = self._tokens.get(place)
        if found is None:
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.pop(next(iter(self._tokens), place), None)
            jwe = seal(encode_fields({TOKEN: token}), operation.operation_name, key.kid, key.jwk)
            found = self._tokens[place] = f"Sealed {jwe}"
        return found

    def is_refused(self, operation: type[Operation[Any]], body: bytes) -> bool:
        """Whether a problem document says that the service no longer has the key. The next call then fetches one."""
        is_sealed = secrets_of(operation) or operation.authentication != "none"
        if not is_sealed or read_json(body, Problem).code != "unknown-sealing-key":
            return False
        self._keys.pop(service_of(operation), None)
        return True

    def _key_of(self, service: str, deadline: float) -> SealingKey:
        asked_at, key = self._keys.get(service, (0.0, None))
        if key is None or time.monotonic() - asked_at > FRESH_SECONDS:
            asked_at, key = time.monotonic(), self._asked(service, deadline)
            self._keys[service] = asked_at, key
        return key

    def _asked(self, service: str, deadline: float) -> SealingKey:
        try:
            return self._ask(service, deadline)
        except Unavailable:
            raise
        except ProblemError as error:  # no reply in time, or a service of another version refused
            raise Unavailable("no-sealing-key", f"{service} did not give a key to seal secrets to: {error}") from None
