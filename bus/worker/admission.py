"""Admission: from a message, as anyone may have sent it, to a valid call, or a reason why not."""

import math
import time
from collections.abc import Mapping
from typing import Any

from bus.contract.codec import parse
from bus.contract.fields import secrets_of
from bus.contract.names import is_reply_address
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.contract.validation import accept
from bus.messaging.call import Call
from bus.messaging.message import Delivery, Message, check_message, is_undecodable
from bus.messaging.replies import EncodedReply
from bus.messaging.trace_context import Trace
from bus.security.unsealer import Unsealer
from bus.worker.dispatcher import Dispatcher
from bus.worker.telemetry import MessageTelemetry


class Admission:
    """Turns the requests of one service into calls, and refuses those that are not acceptable."""

    def __init__(
        self,
        operations: Mapping[str, type[Operation[Any]]],
        unsealer: Unsealer,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
    ) -> None:
        self._operations, self._unsealer = operations, unsealer
        self._dispatcher, self._telemetry = dispatcher, telemetry

    def admit(self, delivery: Delivery) -> Call | None:
        """The call a message asks for; None when it was refused, or when its caller has stopped waiting.

        Raises Stopped; and DatabaseUnavailable, when a key must be read from a database that is away: that of a seal,
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
            return admit(message, operation, self._unsealer, until, delivery.trace)
        except Invalid as refused:
            self._refuse(delivery, operation, refused)
            return None

    def _refuse(self, delivery: Delivery, operation: type[Operation[Any]], refused: Invalid) -> None:
        """Answer the sender; a message that cannot be read, or has no reply address, is kept as a dead letter."""
        problem = refused.problem
        if is_undecodable(refused) or not delivery.message.reply_to:
            self._dispatcher.letter_key.read()  # or the dispatcher would wait for it, and all behind this message too
            self._dispatcher.dead_letter_request(delivery, operation, problem.code, problem.detail)
        self._dispatcher.reply(delivery, EncodedReply.problem(problem, delivery.trace))
        self._telemetry.record("refused", delivery, status=problem.status, code=problem.code)


def admit(
    message: Message,
    operation: type[Operation[Any]],
    unsealer: Unsealer | None = None,
    until: float = math.inf,
    trace: Trace | None = None,
) -> Call:
    """Check a message against our rules and its operation's contract. `until` is when its caller stops waiting.

    Without an unsealer no secret may be sealed. Raises Invalid; and DatabaseUnavailable, when the key of a seal must be
    read from a database that is away: that says nothing about the message, which is to be kept.
    """
    if message.reply_to and not is_reply_address(message.reply_to):
        raise Invalid("reply-to-forbidden", 400, "Reply address forbidden", f"{message.reply_to} is not a reply queue.")
    check_message(message)
    fields = parse(message.body)
    if unsealer is not None and secrets_of(operation):
        fields = unsealer.open(operation, fields)
    # Without an id it has no row in the inbox, which would keep its reply.
    message_id = None if operation.operation_kind == "transient" else message.message_id
    return Call(operation, accept(fields, operation), message_id, until=until, trace=trace)
