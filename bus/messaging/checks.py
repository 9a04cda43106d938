"""Checks of a message that need no contract: its size, its content type, its id."""

import re

from bus.contract.problems import Invalid
from bus.messaging.message import Message

MAX_BODY_BYTES = 256 * 1024
# A message id is a key in the database, and a name in a path: visible ASCII (RFC 5234, VCHAR).
MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,255}")

_JSON = re.compile(r"application/json\s*(;\s*charset=\"?utf-8\"?\s*)?", re.IGNORECASE)


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


def is_undecodable(refused: Invalid) -> bool:
    """Whether the message could not even be understood, so that an operator should see it."""
    return refused.problem.status in (400, 413, 415)
