"""The unsealer: opens the seals of the requests that a worker receives, and counts those that it refuses."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid
from bus.security.keys import KeyPair
from bus.security.seal import MESSAGE_ID, REQUEST, SEALED, TOKEN, UNSEALABLE, kid_of, unseal, unsealable

# The keys are read again for an unknown id, but no more often than this: invented ids must not load the database.
UNKNOWN_SECONDS = 1.0
# The keys are also read again after this long, so that a deleted key is forgotten.
KNOWN_SECONDS = 60.0
# Refusals that say why, each second; all others only say that there were too many. Whoever tries out seals learns
# little, and a sender with a mistake still learns of it.
REFUSALS_PER_SECOND = 10


class Unsealer:
    """Opens seals with the keys that `read` returns by their ids. Safe to use from many threads.

    With `required`, secrets that are not sealed are refused. `refused` counts the seals that did not belong to their
    message or could not be opened.
    """

    def __init__(self, read: Callable[[], Mapping[str, KeyPair]], *, required: bool = False) -> None:
        self._read, self._required = read, required
        self._lock = threading.Lock()
        self._keys: Mapping[str, KeyPair] = {}
        self._read_at = self._second = float("-inf")
        self.refused = self._refused_this_second = 0

    def open(
        self, operation: type[Operation[Any]], fields: dict[str, Any], message_id: str | None = None
    ) -> dict[str, Any]:
        """The fields of a request with its secrets, all still to be validated. `message_id` is that of its message.

        Raises Invalid, and what `read` raises. DatabaseUnavailable is no fault of the message: keep it.
        """
        secrets = secrets_of(operation)
        if self._required and (plain := sorted(secrets & fields.keys())):
            raise _must_be_sealed(plain)
        if SEALED not in fields:
            return fields
        with self._counting_refusals():
            return _checked(self._opened(operation, fields[SEALED]), fields, secrets, message_id)

    def open_token(self, operation: type[Operation[Any]], sealed: str) -> str:
        """The access token in a sealed header `authorization`. Raises as `open` does."""
        with self._counting_refusals():
            opened = self._opened(operation, sealed)
            token = opened.get(TOKEN)
            if opened.keys() != {TOKEN} or not isinstance(token, str):
                raise unsealable(f"A sealed header authorization has one field, {TOKEN!r}, and it is text.")
            return token

    def check_plain_token(self) -> None:
        """Raises Invalid where tokens must be sealed."""
        if self._required:
            raise _must_be_sealed([TOKEN])

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        """Counts a refused seal; beyond the rate its reason is left out."""
        try:
            yield
        except Invalid as refused:
            if refused.problem.code == UNSEALABLE and self._is_one_too_many():
                raise _too_many() from None
            raise

    def _is_one_too_many(self) -> bool:
        with self._lock:
            self.refused += 1
            if time.monotonic() - self._second >= 1.0:
                self._second, self._refused_this_second = time.monotonic(), 0
            self._refused_this_second += 1
            return self._refused_this_second > REFUSALS_PER_SECOND

    def _opened(self, operation: type[Operation[Any]], sealed: Any) -> dict[str, Any]:
        pair = self._pair(kid_of(sealed, operation.operation_name))
        return unseal(sealed, pair)

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


def _checked(
    opened: dict[str, Any], fields: dict[str, Any], secrets: frozenset[str], message_id: str | None
) -> dict[str, Any]:
    """The request in the seal, if it was made for this message."""
    request, sealed_id = opened.get(REQUEST), opened.get(MESSAGE_ID, message_id)
    if opened.keys() - {REQUEST, MESSAGE_ID} or not isinstance(request, dict):
        raise unsealable(f"Seal an object with the member {REQUEST}, an object, and optionally {MESSAGE_ID}, text.")
    if sealed_id != message_id:
        raise unsealable("The seal was made for another message id.")
    beside = {name: value for name, value in fields.items() if name != SEALED}
    if {name: value for name, value in request.items() if name not in secrets} != beside:
        raise unsealable("The fields beside the seal are not those in it without the secret ones.")
    return request


def _too_many() -> Invalid:
    detail = f"More than {REFUSALS_PER_SECOND} seals a second are refused. Wait a second, then send again to learn why."
    return Invalid("too-many-unsealable", 429, "Too many requests", detail, retry_after=1)


def _must_be_sealed(names: list[str]) -> Invalid:
    detail = "This service accepts secrets only sealed. Seal them to its public key."
    faults = [FieldError(f"/{name}", detail, "sealing-required") for name in names]
    return Invalid("sealing-required", 422, "Invalid request", detail, faults)


def _unknown_key() -> Invalid:
    detail = "The service does not have the key that this was sealed to. Fetch its key again."
    fault = FieldError(f"/{SEALED}", detail, "unknown-sealing-key")
    return Invalid("unknown-sealing-key", 422, "Invalid request", detail, [fault])
