"""The unsealer: opens the seals of the requests that a worker receives."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid
from bus.security.keys import KeyPair
from bus.security.seal import SEALED, TOKEN, kid_of, unseal, unsealable

# The keys are read again for an unknown id, but no more often than this: invented ids must not load the database.
UNKNOWN_SECONDS = 1.0
# The keys are also read again after this long, so that a deleted key is forgotten.
KNOWN_SECONDS = 60.0


class Unsealer:
    """Opens seals with the keys that `read` returns by their ids. Safe to use from many threads.

    With `required`, secrets that are not sealed are refused.
    """

    def __init__(self, read: Callable[[], Mapping[str, KeyPair]], *, required: bool = False) -> None:
        self._read, self._required = read, required
        self._lock = threading.Lock()
        self._keys: Mapping[str, KeyPair] = {}
        self._read_at = float("-inf")

    def open(self, operation: type[Operation[Any]], fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request with its secrets, all still to be validated.

        Raises Invalid, and what `read` raises. DatabaseUnavailable is no fault of the message: keep it.
        """
        secrets = secrets_of(operation)
        if self._required and (plain := sorted(secrets & fields.keys())):
            raise _must_be_sealed(plain)
        if SEALED not in fields:
            return fields
        sealed = fields[SEALED]
        pair = self._pair(kid_of(sealed, operation.operation_name))
        return _merged(fields, unseal(sealed, pair), secrets)

    def open_token(self, operation: type[Operation[Any]], sealed: str) -> str:
        """The access token in a sealed header `authorization`. Raises as `open` does."""
        opened = unseal(sealed, self._pair(kid_of(sealed, operation.operation_name)))
        token = opened.get(TOKEN)
        if opened.keys() != {TOKEN} or not isinstance(token, str):
            raise unsealable(f"A sealed header authorization has one field, {TOKEN!r}, and it is text.")
        return token

    def check_plain_token(self) -> None:
        """Raises Invalid where tokens must be sealed."""
        if self._required:
            raise _must_be_sealed([TOKEN])

    def _pair(self, kid: str) -> KeyPair:
        with self._lock:
            age = time.monotonic() - self._read_at
            if age > (KNOWN_SECONDS if kid in self._keys else UNKNOWN_SECONDS):
                self._keys = self._read()
                self._read_at = time.monotonic()
            pair = self._keys.get(kid)
        if pair is None:
            raise _unknown_key()
        return pair


def _merged(fields: dict[str, Any], opened: dict[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
    if opened.keys() - secrets:
        raise unsealable("Only secret fields of this operation can be sealed, and another field is.")
    if opened.keys() & fields.keys():
        raise unsealable("The same field is given both sealed and plain.")
    return {name: value for name, value in fields.items() if name != SEALED} | opened


def _must_be_sealed(names: list[str]) -> Invalid:
    detail = "This service accepts secrets only sealed. Seal them to its public key."
    faults = [FieldError(f"/{name}", detail, "sealing-required") for name in names]
    return Invalid("sealing-required", 422, "Invalid request", detail, faults)


def _unknown_key() -> Invalid:
    detail = "The service does not have the key that this was sealed to. Fetch its key again."
    fault = FieldError(f"/{SEALED}", detail, "unknown-sealing-key")
    return Invalid("unknown-sealing-key", 422, "Invalid request", detail, [fault])
