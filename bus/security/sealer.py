"""The sealer: seals the secrets of the requests that a client sends."""

import time
from collections.abc import Callable
from typing import Any

from bus.contract.builtin import SealingKey
from bus.contract.codec import encode_fields, parse, read_json
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation, service_of
from bus.contract.problems import Problem, ProblemError, Unavailable
from bus.security.seal import SEALED, seal

# A service's key is asked for again after this long. A new one need not be known sooner, for the old still opens.
FRESH_SECONDS = 300.0

Ask = Callable[[str, float], SealingKey]


class Sealer:
    """`ask(service, deadline)` fetches a service's key, or raises ProblemError; deadlines are time.monotonic()."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._keys: dict[str, tuple[float, SealingKey]] = {}

    def sealed(self, operation: type[Operation[Any]], body: bytes, deadline: float) -> bytes:
        """A valid body with its secrets sealed; the same body where there are none.

        Raises Unavailable when no key can be had: then nothing was sent.
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

    def is_refused(self, operation: type[Operation[Any]], body: bytes) -> bool:
        """Whether a problem document says that the key is not known any more; then another is asked for next."""
        if not secrets_of(operation) or read_json(body, Problem).code != "unknown-sealing-key":
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
        except ProblemError as error:  # late, or refused by a service of another release
            raise Unavailable("no-sealing-key", f"{service} gave no key to seal secrets to: {error}") from None
