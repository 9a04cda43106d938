"""The inbox: what has been done already, and how it was answered.

A row is written in the transaction of the effect. The key (caller, message_id) is what makes an
effect happen once, however often its message comes.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from bus.contract.problems import Invalid
from bus.database.bulk import insert_all
from bus.database.tables import inbox
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply

# Stands in the place of a caller for events. No caller's name has a space in it.
EVENTS = "an event"

_stored = select(inbox.c.digest, inbox.c.status, inbox.c.location, inbox.c.reply).where(
    inbox.c.caller == bindparam("caller"), inbox.c.message_id == bindparam("message_id")
)


class AlreadyDone(Exception):
    """One of these calls is in the inbox: redelivered, sent twice, or being done by another worker."""


def record(connection: Connection, answered: Iterable[tuple[Call, EncodedReply]]) -> None:
    """Write the answers of the calls that have a message id. Raises AlreadyDone."""
    rows = [
        {
            "caller": EVENTS if call.kind == "event" else call.caller,
            "message_id": call.message_id,
            "operation": call.operation.operation_name,
            "digest": call.digest,
            "status": answer.status,
            "location": answer.location,
            "reply": answer.cut_body or answer.body,
        }
        for call, answer in answered
        if call.message_id is not None
    ]
    if not rows:
        return
    try:
        insert_all(connection, inbox, rows)
    except IntegrityError as error:
        raise AlreadyDone from error


def look_up(connection: Connection, call: Call) -> EncodedReply | None:
    """The stored answer of a call that was done before; a refusal when its id was used for another."""
    if call.message_id is None:
        return None
    caller = EVENTS if call.kind == "event" else call.caller
    row = connection.execute(_stored, {"caller": caller, "message_id": call.message_id}).one_or_none()
    if row is None:
        return None
    if bytes(row.digest) != call.digest:
        return EncodedReply.problem(_ID_REUSED)
    return EncodedReply(row.status, bytes(row.reply), row.location)


def outcome_of(connection: Connection, caller: str, message_id: str) -> EncodedReply | None:
    """How a message was answered; None while it was not."""
    row = connection.execute(_stored, {"caller": caller, "message_id": message_id}).one_or_none()
    return EncodedReply(row.status, bytes(row.reply), row.location) if row else None


_ID_REUSED = Invalid(
    "idempotency-key-reuse", 422, "Idempotency key reused", "This message id was used for another request."
).problem
