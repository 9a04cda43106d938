"""Admission: from a message as anyone may have sent it to a valid call, or a reason why not."""

import math
from typing import Any

from bus.contract.codec import parse
from bus.contract.fields import secrets_of
from bus.contract.names import is_reply_address
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.contract.validation import accept
from bus.messaging.call import Call
from bus.messaging.checks import check_message
from bus.messaging.message import Message
from bus.messaging.trace_context import Trace
from bus.security.unsealer import Unsealer


def admit(
    message: Message,
    operation: type[Operation[Any]],
    unsealer: Unsealer | None = None,
    until: float = math.inf,
    trace: Trace | None = None,
) -> Call:
    """Check a message against our rules and its operation's contract; `until` is when its caller stops to wait.

    Without an unsealer no secret may be sealed. Raises Invalid; and DatabaseUnavailable, when the key of a seal had to
    be read from a database that is away: that says nothing of the message, which is to be kept.
    """
    if message.reply_to and not is_reply_address(message.reply_to):
        raise Invalid("reply-to-forbidden", 400, "Reply address forbidden", f"{message.reply_to} is not a reply queue.")
    check_message(message)
    fields = parse(message.body)
    if unsealer is not None and secrets_of(operation):
        fields = unsealer.open(operation, fields)
    return Call(operation, accept(fields, operation), message.message_id, until=until, trace=trace)
