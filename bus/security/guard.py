"""The guard: who sent a message, and whether that caller may have its operation carried out.

A caller proves who it is with the header `authorization`: a bearer token, or the same sealed to the service (`Sealed`
and a JWE, as `bus.security.seal` has it). A token rests nowhere readable, and ends after minutes, while a command may
be tried again hours later. So workers vouch for the caller in the copies that they make of a message (`vouching.py`).
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from msgspec import structs

from bus.contract.builtin import SealingKey, is_send
from bus.contract.identity import (
    ANONYMOUS,
    Caller,
    NotAuthorized,
    insufficient_scope,
    invalid_token,
    is_guarded,
    not_sent,
    scope_for_fields,
    token_required,
)
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.messaging.redelivery import AUTHORIZATION, SEALED_SCHEME
from bus.security.access_tokens import MAX_TOKEN_CHARACTERS, verify
from bus.security.operators import Operators
from bus.security.seal import MAX_SEAL_BYTES, TOKEN, seal
from bus.security.service_keys import LetterKey
from bus.security.token_keys import TokenKeys
from bus.security.unsealer import Unsealer
from bus.security.vouching import vouch, vouched

BEARER = "bearer"
# Verified headers, so that each costs one verification. A full cache drops the one that came first.
MAX_VERIFIED = 2000
NO_OPERATORS = Operators()


class Guard:
    """Finds the callers of one service's requests.

    `key` is the service's own, for authenticators, and `sealing_key` gives the one that tokens are sealed to.

    With `is_open`, everyone may call those `operations` that need a scope. `asks` has the names of those whose caller
    matters, for the others to cost nothing; `reads_tokens` says whether any of them reads access tokens. `operators`
    knows who has signed a request for operators. Safe to use from many threads.
    """

    def __init__(
        self,
        unsealer: Unsealer,
        keys: TokenKeys,
        key: LetterKey,
        sealing_key: Callable[[], SealingKey],
        operations: Iterable[type[Operation[Any]]],
        *,
        is_open: bool = False,
        operators: Operators = NO_OPERATORS,
    ) -> None:
        self._operators = operators
        self._unsealer, self._keys, self._key, self._sealing_key = unsealer, keys, key, sealing_key
        operations = list(operations)
        asking = [
            operation
            for operation in operations
            if operation.authentication in ("optional", "required")
            and not (is_open and (operation.required_scope or operation.field_scopes))
        ]
        # Where none of them needs an account, all callers are anonymous, and no outcome is an account's.
        knows_accounts = any(is_guarded(each) or each.field_scopes for each in asking)
        self.reads_tokens = bool(asking) and knows_accounts
        signed = [each for each in operations if each.authentication == "operator" or is_send(each.operation_name)]
        self.asks = frozenset(each.operation_name for each in [*(asking if knows_accounts else ()), *signed])
        self._verified: dict[tuple[str, str], tuple[Caller, int]] = {}

    def caller_of(self, message: Message, operation: type[Operation[Any]]) -> Caller:
        """The caller of a message, who may have its operation carried out.

        Everyone is anonymous to an operation that is not in `asks`. When this returns, `vouch` raises nothing.

        Raises NotAuthorized; Invalid for a token that is sealed to an unknown key; and Unavailable or
        DatabaseUnavailable when keys cannot be read now, which says nothing about the message.
        """
        if operation.operation_name not in self.asks:
            return ANONYMOUS
        if operation.authentication == "operator":
            return self._operators.caller_of(message)
        given, verified = message.headers.get(AUTHORIZATION), vouched(message, self._key.read())
        if is_send(operation.operation_name) and verified is None:
            raise not_sent()
        if verified is not None:
            caller = verified
        elif given is None:
            if operation.authentication == "required":
                raise token_required()
            return ANONYMOUS
        else:
            caller = self._named_by(given, operation)
        if operation.required_scope and operation.required_scope not in caller.scopes:
            raise insufficient_scope(operation.required_scope)
        return caller

    def caller_for_fields(self, message: Message, request: Operation[Any]) -> Caller:
        """The caller of a message whose request may have fields that need a scope; anonymous if it has none of them.

        Raises what `caller_of` raises.
        """
        if not (scope := scope_for_fields(request)):
            return ANONYMOUS
        caller = self.caller_of(message, type(request))
        if caller == ANONYMOUS:
            raise token_required()
        if scope not in caller.scopes:
            raise insufficient_scope(scope)
        return caller

    def token_of(self, call: Call) -> str | None:
        """The access token that came with a call, opened, to be passed on; None where there is none.

        Raises Unavailable and DatabaseUnavailable when keys cannot be read now.
        """
        operation: Any = call.operation
        with suppress(Invalid, NotAuthorized):  # of a copy, it may be sealed to a key that is gone
            return self._token_in(call.authorization, operation) if call.authorization else None
        return None

    def vouch(self, message: Message, caller: Caller) -> Message:
        """The message with the caller that was verified, for a copy of it. Raises DatabaseUnavailable."""
        return vouch(message, caller, self._key.read() if caller != ANONYMOUS else b"")

    def with_sealed_token(self, message: Message, operation: type[Operation[Any]]) -> Message:
        """The message with its token sealed, if it is plain. Raises DatabaseUnavailable."""
        scheme, _, token = str(message.headers.get(AUTHORIZATION, "")).partition(" ")
        if scheme.lower() != BEARER or len(token) > MAX_TOKEN_CHARACTERS:
            return message
        key = self._sealing_key()
        sealed = seal({TOKEN: token}, operation.operation_name, key.kid, key.jwk)
        return structs.replace(message, headers={**message.headers, AUTHORIZATION: f"{SEALED_SCHEME} {sealed}"})

    def _named_by(self, given: object, operation: type[Operation[Any]]) -> Caller:
        if not isinstance(given, str) or len(given) > MAX_SEAL_BYTES + len(SEALED_SCHEME) + 1:
            raise invalid_token()
        place = (operation.operation_name, given)
        caller, expires_at = self._verified.get(place, (ANONYMOUS, 0))
        now = time.time()
        if now < expires_at:
            return caller
        found = verify(self._token_in(given, operation), self._keys.key, now)
        if len(self._verified) >= MAX_VERIFIED:
            self._verified.pop(next(iter(self._verified), place), None)
        self._verified[place] = found
        return found.caller

    def _token_in(self, given: str, operation: type[Operation[Any]]) -> str:
        scheme, _, rest = given.partition(" ")
        if scheme.lower() == SEALED_SCHEME:
            return self._unsealer.open_token(operation, rest.strip(" "))
        if scheme.lower() != BEARER or len(rest) > MAX_TOKEN_CHARACTERS:
            raise invalid_token()
        self._unsealer.check_plain_token()
        return rest.strip(" ")
