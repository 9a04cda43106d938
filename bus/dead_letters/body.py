"""The body of a dead letter as it may be kept: without secrets, and known to be whole or not."""

from collections.abc import Mapping
from typing import Any

from bus.contract.codec import CUT, parse
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.problems import Invalid
from bus.messaging.message import Message
from bus.messaging.topology import is_events_queue
from bus.worker.admission import MAX_BODY_BYTES, NOT_KEPT, without_secrets

Operations = Mapping[str, type[Operation[Any]]]


def body_to_keep(message: Message, origin: str, operations: Operations) -> tuple[bytes, bool]:
    """The body without secrets, and whether it is whole.

    What a worker buried has none any more; what the broker moved has them still. Where it is of no
    operation we know, any field may be one. Events have none.
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
    # A body as long as the limit was cut there, or is so long that nobody can tell.
    whole = kept != NOT_KEPT and len(kept) < MAX_BODY_BYTES and CUT not in _secrets_in(kept, operation)
    return kept, whole


def _secrets_in(body: bytes, operation: type[Operation[Any]] | None) -> list[object]:
    """The values of the secret fields, where the body can be read."""
    secrets = secrets_of(operation) if operation else ()
    if not secrets or len(body) > MAX_BODY_BYTES:
        return []
    try:
        fields = parse(body)
    except Invalid:
        return []
    return [fields[name] for name in secrets if name in fields]
