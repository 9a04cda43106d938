"""The sealer: seals the secrets of the requests that a client sends, to keys that their service has signed."""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import structlog

from bus.contract.builtin import SealingKey
from bus.contract.codec import encode_fields, parse, read_json
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation, service_of
from bus.contract.problems import Problem, ProblemError, Unavailable
from bus.security.identity import Forged, identity_of
from bus.security.seal import MESSAGE_ID, REQUEST, SEALED, TOKEN, seal

# A service's key is fetched again after this long. Until then a retired key is used, which the service can still open.
FRESH_SECONDS = 300.0
# Sealed tokens are kept, as a caller sends the same one many times. Beyond this many the oldest is forgotten.
MAX_TOKENS = 1000

Ask = Callable[[str, float], SealingKey]

NOTHING_PINNED: Mapping[str, str] = MappingProxyType({})

log = structlog.get_logger("bus.client")


class Sealer:
    """`ask(service, deadline)` fetches the key of a service or raises ProblemError. Deadlines are time.monotonic().

    A sealing key must be signed by the service's identity key: by the one in `identities` (service and thumbprint), or
    else by the same one as the first key that came (trust on first use).
    """

    def __init__(self, ask: Ask, identities: Mapping[str, str] = NOTHING_PINNED) -> None:
        self._ask, self._identities = ask, dict(identities)
        self._keys: dict[str, tuple[float, SealingKey]] = {}
        self._tokens: dict[tuple[str, str, str], str] = {}

    def sealed(
        self, operation: type[Operation[Any]], body: bytes, deadline: float, message_id: str | None = None
    ) -> bytes:
        """Seal the secrets of a valid body; a body without secrets is returned as it is.

        The seal is good only for a message with this id, and with the other fields of this body.

        Raises Unavailable when the service gives no key. Nothing was sent then.
        """
        secrets = secrets_of(operation)
        if not secrets:
            return body
        fields = parse(body)
        if secrets.isdisjoint(fields):
            return body
        key = self._key_of(service_of(operation), deadline)
        content = {REQUEST: fields} if message_id is None else {REQUEST: fields, MESSAGE_ID: message_id}
        sealed = seal(content, operation.operation_name, key.kid, key.jwk)
        return encode_fields({name: value for name, value in fields.items() if name not in secrets} | {SEALED: sealed})

    def sealed_token(self, operation: type[Operation[Any]], token: str, deadline: float) -> str:
        """The value of the header `authorization` with this access token. Raises Unavailable as `sealed` does."""
        key = self._key_of(service_of(operation), deadline)
        place = (operation.operation_name, key.kid, token)
        found = self._tokens.get(place)
        if found is None:
            if len(self._tokens) >= MAX_TOKENS:
                self._tokens.pop(next(iter(self._tokens), place), None)
            jwe = seal({TOKEN: token}, operation.operation_name, key.kid, key.jwk)
            found = self._tokens[place] = f"Sealed {jwe}"
        return found

    def is_refused(self, operation: type[Operation[Any]], body: bytes) -> bool:
        """Whether a problem document says that the service no longer has the key. The next call then fetches one."""
        is_sealed = secrets_of(operation) or operation.authentication != "none"
        if not is_sealed or read_json(body, Problem).code != "unknown-sealing-key":
            return False
        self.forget(service_of(operation))
        return True

    def forget(self, service: str) -> None:
        """Forget the sealing key of a service: the next request fetches one."""
        self._keys.pop(service, None)

    def _key_of(self, service: str, deadline: float) -> SealingKey:
        asked_at, key = self._keys.get(service, (0.0, None))
        if key is None or time.monotonic() - asked_at > FRESH_SECONDS:
            asked_at, key = time.monotonic(), self._asked(service, deadline)
            self._keys[service] = asked_at, key
        return key

    def _asked(self, service: str, deadline: float) -> SealingKey:
        try:
            key = self._ask(service, deadline)
        except Unavailable:
            raise
        except ProblemError as error:  # no reply in time, or a service of another version refused
            raise Unavailable("no-sealing-key", f"{service} did not give a key to seal secrets to: {error}") from None
        try:
            identity = identity_of(key, service)
        except Forged as forged:
            identity, why = "", str(forged)
        else:
            expected = self._identities.setdefault(service, identity)
            why = "" if identity == expected else f"It is signed by the identity key {identity}, not by {expected}."
        if not why:
            return key
        log.error("sealing_key_refused", service=service, reason=why)
        raise Unavailable(
            "no-sealing-key",
            f"The sealing key that came for {service} was not signed by that service, so nothing was sent. {why}",
        )
