"""Event lines: an event as one line, for a person or for a program."""

from datetime import datetime

import msgspec

from bus.contract.codec import parse
from bus.contract.problems import Invalid
from bus.messaging.message import Message


def line_of(message: Message, received_at: datetime) -> str:
    """The time it was received (UTC), its name, its id and its body.

    Anyone may publish anything, and terminals obey control characters: there are none in it.
    """
    body = message.body.decode("utf-8", "replace")
    parts = (_moment(received_at), message.type or "-", message.message_id or "-", body)
    return "  ".join(_printable(part) for part in parts)


def json_of(message: Message, received_at: datetime) -> str:
    """The same as JSON; a body that is none stands there as text."""
    line = {
        "received_at": _moment(received_at),
        "name": message.type,
        "id": message.message_id,
        "body": _json_or_text(message.body),
    }
    return msgspec.json.encode(line).decode()


def _json_or_text(body: bytes) -> msgspec.Raw | str:
    try:
        parse(body)
    except Invalid:
        return body.decode("utf-8", "replace")
    return msgspec.Raw(b" ".join(body.splitlines()))


def _moment(received_at: datetime) -> str:
    return f"{received_at:%Y-%m-%dT%H:%M:%S}.{received_at.microsecond // 1000:03}Z"


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " if each == "\n" else "\ufffd" for each in text)
