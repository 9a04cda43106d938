"""The body of a dead letter as it may be stored: without secrets, with a note on whether it is whole."""

from collections.abc import Mapping
from typing import Any

import msgspec

from bus.contract.codec import encode_fields, parse
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.contract.redaction import CUT, encode_without_secrets
from bus.contract.validation import accept, are_fields_of
from bus.messaging.headers import lines
from bus.messaging.message import MAX_BODY_BYTES, Message
from bus.messaging.topology import is_events_queue
from bus.security.seal import SEALED, looks_sealed

# Stored in place of a body that cannot be read: its secrets cannot be removed.
NOT_KEPT = b'"[the body may hold secrets and is not kept]"'

Operations = Mapping[str, type[Operation[Any]]]


def body_to_keep(message: Message, origin: str, operations: Operations) -> tuple[bytes, bool]:
    """The body without secrets, and whether it is whole. `origin` is the queue it was first sent to.

    A body from a worker has no secrets any more, one that the broker moved still has them. In the body of an unknown
    operation any field may be a secret. Events have none.
    """
    if is_events_queue(origin):
        return message.body[:MAX_BODY_BYTES], len(message.body) < MAX_BODY_BYTES
    operation = operations.get(origin)
    if operation is None:
        kept = NOT_KEPT if any(map(secrets_of, operations.values())) else message.body[:MAX_BODY_BYTES]
    elif (given := _secrets_in(message.body, operation)) and all(value == CUT for value in given):
        kept = message.body
    else:
        kept = without_secrets(message, operation)
    # A body as long as the limit was cut there, or may have been.
    whole = kept != NOT_KEPT and len(kept) < MAX_BODY_BYTES and CUT not in _secrets_in(kept, operation)
    return kept, whole


def readable(body: str) -> str:
    """A body for a person, without control characters. JSON has line breaks and indents, unless that makes it too long.

    A body may be all numbers in lists, and eight times as long with indents.
    """
    pretty = msgspec.json.format(body, indent=2) if is_json(body) else body
    shown = pretty if len(pretty) <= MAX_BODY_BYTES else body
    return lines(shown, len(shown))


def compact(body: str) -> str:
    """The body without the line breaks and indents that `readable` or a person made; as it is if it is no JSON."""
    return msgspec.json.format(body, indent=-1) if is_json(body) else body


def is_json(body: str) -> bool:
    """Whether a body can be read as JSON."""
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _secrets_in(body: bytes, operation: type[Operation[Any]] | None) -> list[object]:
    """The values of the secret fields; empty for a body that cannot be read."""
    secrets = secrets_of(operation) if operation else ()
    if not secrets or len(body) > MAX_BODY_BYTES:
        return []
    try:
        fields = parse(body)
    except Invalid:
        return []
    return [fields[name] for name in secrets if name in fields]


def without_secrets(message: Message, operation: type[Operation[Any]]) -> bytes:
    """The body with its secrets sealed or removed; NOT_KEPT for one that cannot be read."""
    if not secrets_of(operation):
        return message.body[:MAX_BODY_BYTES]
    if len(message.body) > MAX_BODY_BYTES:
        return NOT_KEPT
    try:
        fields = parse(message.body)
        if is_sealed(fields, operation):
            return message.body
        return encode_without_secrets(accept(fields, operation))
    except Invalid:
        return NOT_KEPT
    except Exception:  # the contract's own code; the worker reports it as a fault
        return _with_secrets_cut(fields, operation)


def is_sealed(fields: dict[str, Any], operation: type[Operation[Any]]) -> bool:
    """Whether the body has a seal, and beside it only fields of this operation that are not secret."""
    plain = {name: value for name, value in fields.items() if name != SEALED}
    named = looks_sealed(fields.get(SEALED)) and plain.keys().isdisjoint(secrets_of(operation))
    return named and are_fields_of(plain, operation)


def _with_secrets_cut(fields: dict[str, Any], operation: type[Operation[Any]]) -> bytes:
    """The body that no rule of its contract could check; NOT_KEPT if it has anything but fields with their types."""
    if not are_fields_of(fields, operation):
        return NOT_KEPT
    secrets = secrets_of(operation)
    cut = {name: CUT for name, value in fields.items() if name in secrets and value is not None}
    return encode_fields(fields | cut)
