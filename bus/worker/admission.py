"""Admission: from a message as anyone may have sent it to a valid call, or a reason why not."""

import math
import re
from typing import Any

from bus.contract.codec import encode_without_secrets, parse
from bus.contract.fields import secrets_of
from bus.contract.names import is_reply_address
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.contract.validation import accept, are_fields_of
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.messaging.trace_context import Trace
from bus.security.seal import SEALED, looks_sealed
from bus.security.unsealer import Unsealer

MAX_BODY_BYTES = 256 * 1024
# A message id is a key in the database, and a name in a path: visible ASCII (RFC 5234, VCHAR).
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,255}")

# What stands in a dead letter in place of a body that could not be read, and so not be cleared of secrets.
NOT_KEPT = b'"[the body may hold secrets and is not kept]"'

_JSON = re.compile(r"application/json\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)


def admit(
    message: Message,
    operation: type[Operation[Any]],
    unsealer: Unsealer | None = None,
    until: float = math.inf,
    trace: Trace | None = None,
) -> Call:
    """Check a message against our rules and its operation's contract; `until` is when its caller stops to wait.

    Without an unsealer no secret may be sealed. Raises Invalid; and DatabaseAway, when the key of a seal had to
    be read from a database that is away: that says nothing of the message, which is to be kept.
    """
    if message.reply_to and not is_reply_address(message.reply_to):
        raise Invalid("reply-to-forbidden", 400, "Reply address forbidden", f"{message.reply_to} is not a reply queue.")
    check_message(message)
    fields = parse(message.body)
    if unsealer is not None and secrets_of(operation):
        fields = unsealer.open(operation, fields)
    return Call(operation, accept(fields, operation), message.message_id, until=until, trace=trace)


def check_message(message: Message) -> None:
    """What can be said of a message without reading its body. Raises Invalid (400, 413 or 415)."""
    check_body(message.content_type, message.content_encoding, len(message.body), MAX_BODY_BYTES)
    if message.message_id is not None:
        check_message_id(message.message_id)


def check_body(content_type: str | None, content_encoding: str | None, length: int, limit: int) -> None:
    """What can be said of a body without reading it. Raises Invalid (413 or 415)."""
    if length > limit:
        raise Invalid("too-large", 413, "Too large", f"A body may have {limit} bytes.")
    if content_type and not _JSON.fullmatch(content_type):
        raise Invalid("unsupported-media-type", 415, "Unsupported media type", "Send application/json in UTF-8.")
    if content_encoding and content_encoding.lower() not in ("utf-8", "identity"):
        raise Invalid("unsupported-encoding", 415, "Unsupported encoding", "Send the body as it is, not compressed.")


def check_message_id(message_id: str) -> None:
    """Raises Invalid (400)."""
    if not MESSAGE_ID.fullmatch(message_id):
        raise Invalid(
            "invalid-message-id", 400, "Invalid message id", "A message id is 1 to 255 visible ASCII characters."
        )


def is_hopeless(refused: Invalid) -> bool:
    """Whether the message could not even be understood, so that an operator should see it."""
    return refused.problem.status in (400, 413, 415)


def without_secrets(message: Message, operation: type[Operation[Any]]) -> bytes:
    """The body as it may be kept: with its secrets sealed, or without them, or not at all if it cannot be read."""
    if not secrets_of(operation):
        return message.body[:MAX_BODY_BYTES]
    if len(message.body) > MAX_BODY_BYTES:
        return NOT_KEPT
    try:
        fields = parse(message.body)
        if _is_sealed(fields, operation):
            return message.body
        return encode_without_secrets(accept(fields, operation))
    except Invalid:
        return NOT_KEPT


def _is_sealed(fields: dict[str, Any], operation: type[Operation[Any]]) -> bool:
    """Whether all there is beside the seal are fields of this operation that are not secret."""
    plain = {name: value for name, value in fields.items() if name != SEALED}
    named = looks_sealed(fields.get(SEALED)) and plain.keys().isdisjoint(secrets_of(operation))
    return named and are_fields_of(plain, operation)
