"""Admission: from a message, as anyone may have sent it, to a valid call, or a reason why not."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec import structs

from bus.contract.codec import parse
from bus.contract.fields import secrets_of
from bus.contract.identity import ANONYMOUS, Caller, NotAuthorized
from bus.contract.names import is_reply_address
from bus.contract.operations import Operation
from bus.contract.problems import Invalid, ProblemError
from bus.contract.validation import accept
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import CALL_DEPTH, MAX_CALL_DEPTH, TOO_DEEP, Call
from bus.messaging.message import (
    CLIENT_ADDRESS,
    MAX_ADDRESS_CHARACTERS,
    Delivery,
    Message,
    check_message,
    is_undecodable,
)
from bus.messaging.redelivery import ATTEMPTS, MAX_KEPT_CHARACTERS, attempts_of, depth_of
from bus.messaging.replies import EncodedReply
from bus.messaging.trace_context import Trace
from bus.security.guard import Guard
from bus.security.unsealer import Unsealer
from bus.worker.dispatcher import Dispatcher
from bus.worker.telemetry import MessageTelemetry


class ContractFailed(Exception):
    """Raised when a rule or the `violations` of a contract raise an error. The service's author's fault.

    `error` is what they raised, `caller` the one that was verified.
    """

    def __init__(self, error: Exception, caller: Caller) -> None:
        self.error, self.caller = error, caller
        super().__init__(type(error).__name__)


class Admission:
    """Turns the requests of one service into calls, and refuses those that are not acceptable."""

    def __init__(
        self,
        operations: Mapping[str, type[Operation[Any]]],
        unsealer: Unsealer,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
        guard: Guard,
    ) -> None:
        self._operations, self._unsealer, self._guard = operations, unsealer, guard
        self._dispatcher, self._telemetry = dispatcher, telemetry

    def admit(self, delivery: Delivery) -> Call | None:
        """The call a message asks for; None when it was refused, or when its caller has stopped waiting.

        Raises Stopped; ContractFailed; Unavailable, when the keys of access tokens must be asked for and the answer
        does not come; and DatabaseUnavailable, when a key must be read from a database that is away: that of a seal,
        or the one that authenticates dead letters.
        """
        message = delivery.message
        operation = self._operations[message.queue]
        until = math.inf
        if message.expiration_ms is not None and not operation.is_durable:
            until = delivery.received_at + message.expiration_ms / 1000
            if until < time.monotonic():
                self._telemetry.record("expired", delivery)
                return None
        try:
            came_back = delivery.deaths > 0
            return admit(message, operation, self._unsealer, until, delivery.trace, self._guard, came_back=came_back)
        except (Invalid, NotAuthorized) as refused:
            self._refuse(delivery, operation, refused)
            return None

    def vouched(self, delivery: Delivery, call: Call | None = None) -> Delivery:
        """The delivery as a copy is made of it: with the caller that was verified, and with its token sealed.

        `call` is the call that it asks for. Without it the caller is verified now, unless that fails. The token is
        for those whom the handler calls, as long as it is valid.
        """
        message, operation = delivery.message, self._operations[delivery.message.queue]
        with suppress(ProblemError, DatabaseUnavailable):
            caller = self._guard.caller_of(message, operation) if call is None else call.caller
            message = self._guard.vouch(message, caller)
        if operation.operation_name in self._guard.asks:
            with suppress(DatabaseUnavailable):
                message = self._guard.with_sealed_token(message, operation)
        return structs.replace(delivery, message=message)

    def _refuse(self, delivery: Delivery, operation: type[Operation[Any]], refused: Invalid | NotAuthorized) -> None:
        """Answer the sender; a message that cannot be read, or has no reply address, is kept as a dead letter."""
        problem = refused.problem
        if is_undecodable(refused) or not delivery.message.reply_to:
            self._dispatcher.letter_key.read()  # or the dispatcher would wait for it, and all behind this message too
            caller = ANONYMOUS
            with suppress(ProblemError, DatabaseUnavailable):
                caller = self._guard.caller_of(delivery.message, operation)
            self._dispatcher.dead_letter_request(delivery, operation, problem.code, problem.detail, caller=caller)
        challenge = refused.challenge if isinstance(refused, NotAuthorized) else ""
        self._dispatcher.reply(delivery, EncodedReply.problem(problem, delivery.trace, challenge))
        self._telemetry.record("refused", delivery, status=problem.status, code=problem.code)


def admit(
    message: Message,
    operation: type[Operation[Any]],
    unsealer: Unsealer | None = None,
    until: float = math.inf,
    trace: Trace | None = None,
    guard: Guard | None = None,
    *,
    came_back: bool = False,
) -> Call:
    """Check a message against our rules and its operation's contract. `until` is when its caller stops waiting.

    Without an unsealer no secret may be sealed, and without a guard every caller is anonymous. Raises Invalid,
    NotAuthorized, Unavailable and ContractFailed; and DatabaseUnavailable, when the key of a seal must be
    read from a database that is away: that says nothing about the message, which is to be kept.
    """
    if message.reply_to and not is_reply_address(message.reply_to):
        raise Invalid("reply-to-forbidden", 400, "Reply address forbidden", f"{message.reply_to} is not a reply queue.")
    check_message(message)
    headers = message.headers
    depth = depth_of(message) if CALL_DEPTH in headers else 0
    if depth > MAX_CALL_DEPTH:
        raise _TOO_DEEP
    # Before its body is read: what is wrong with it is for those who may send it.
    caller = ANONYMOUS
    asks = guard is not None and operation.operation_name in guard.asks
    if asks and not operation.field_scopes:
        caller = guard.caller_of(message, operation)  # type: ignore[union-attr]  # it asks
    fields = parse(message.body)
    if unsealer is not None and secrets_of(operation):
        fields = unsealer.open(operation, fields, message.message_id)
    try:
        request = accept(fields, operation)
    except Invalid:
        raise
    except Exception as error:  # the contract's own code, as a handler's
        raise ContractFailed(error, caller) from error
    if asks and operation.field_scopes:
        caller = guard.caller_for_fields(message, request)  # type: ignore[union-attr]  # it asks
    # Without an id it has no row in the inbox, which would keep its reply.
    message_id = None if operation.operation_kind == "transient" else message.message_id
    authorization, address = headers.get("authorization"), headers.get(CLIENT_ADDRESS)
    return Call(
        operation,
        request,
        message_id,
        caller,
        until=until,
        trace=trace,
        attempt=attempts_of(message) + 1 if ATTEMPTS in headers else 1,
        authorization=authorization
        if isinstance(authorization, str) and len(authorization) <= MAX_KEPT_CHARACTERS
        else "",
        depth=depth,
        client_address=address if isinstance(address, str) and len(address) <= MAX_ADDRESS_CHARACTERS else "",
        came_back=came_back,
    )


_TOO_DEEP = Invalid(
    TOO_DEEP,
    422,
    "Call too deep",
    f"More than {MAX_CALL_DEPTH} handlers have called one another. Do services call each other in a circle?",
)
