"""The inbox: which messages were handled, and the reply to each.

A row is written in the transaction of the effect. Its key (caller, message_id) makes an effect happen once,
however often its message comes.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import msgspec
from msgspec import structs
from sqlalchemy import Connection, Row, bindparam, delete, select, text
from sqlalchemy.exc import IntegrityError

from bus.contract.codec import parse
from bus.contract.operations import Reply
from bus.contract.problems import FieldError, Invalid
from bus.database.bulk import insert_all
from bus.database.tables import inbox
from bus.messaging.call import EVENTS, Call
from bus.messaging.replies import EncodedReply

# The status of a refusal that is not final (RFC 6585, section 4): the same message may be sent again later.
TOO_MANY_REQUESTS = 429

_stored = select(inbox.c.digest, inbox.c.status, inbox.c.location, inbox.c.reply).where(
    inbox.c.caller == bindparam("caller"), inbox.c.message_id == bindparam("message_id")
)
# Constant, so that they are prepared once for batches of any size. All keys are one JSON text: psycopg writes arrays in
# Python, and for `(caller, message_id) IN (VALUES …)` SQLite reads the whole inbox. So would PostgreSQL for a join
# without LATERAL and LIMIT, if it made its plan while the inbox was empty: each look, until the inbox is analysed.
_stored_by_json = {
    "sqlite": text(
        "SELECT inbox.caller, inbox.message_id, digest, status, location, reply "
        "FROM json_each(:keys) AS asked CROSS JOIN inbox "
        "ON inbox.caller = json_extract(asked.value, '$[0]') AND inbox.message_id = json_extract(asked.value, '$[1]')"
    ),
    "postgresql": text(
        "SELECT found.* FROM json_array_elements(CAST(:keys AS json)) AS asked(key) CROSS JOIN LATERAL ("
        "SELECT caller, message_id, digest, status, location, reply FROM inbox "
        "WHERE caller = asked.key ->> 0 AND message_id = asked.key ->> 1 LIMIT 1) AS found"
    ),
}


class AlreadyDone(Exception):
    """One of these calls is in the inbox: it was redelivered, sent twice, or another worker handles it now."""


def record(connection: Connection, calls: Iterable[tuple[Call, EncodedReply]]) -> None:
    """Write the replies to the calls that have a message id. Raises AlreadyDone."""
    rows = [
        {
            "caller": EVENTS if call.kind == "event" else call.caller.id,
            "message_id": call.message_id,
            "operation": call.operation.operation_name,
            "digest": call.digest,
            "status": reply.status,
            "location": reply.location,
            "reply": reply.cut_body or reply.body,
        }
        for call, reply in calls
        if call.message_id is not None
    ]
    if not rows:
        return
    # In one order for all workers: two that got the same messages then wait for each other in turn, without a deadlock.
    rows.sort(key=itemgetter("caller", "message_id"))
    try:
        insert_all(connection, inbox, rows)
    except IntegrityError as error:
        raise AlreadyDone from error


def look_up_all(connection: Connection, calls: Sequence[Call]) -> list[EncodedReply | None]:
    """The stored replies to calls that were handled before, in the order of the calls; None for each that was not.

    The reply is a refusal where the message id was used for another request; it names the fields that differ. One
    statement looks up all.
    """
    keys = list(dict.fromkeys((_caller_of(call), call.message_id) for call in calls if call.message_id is not None))
    if not keys:
        return [None] * len(calls)
    statement = _stored_by_json[connection.dialect.name]
    rows = connection.execute(statement, {"keys": msgspec.json.encode(keys).decode()}).all()
    found = {(row.caller, row.message_id): row for row in rows}
    return [_reply_of(found.get((_caller_of(call), call.message_id)), call) for call in calls]


def forget_unfinal(connection: Connection, calls: Iterable[Call]) -> None:
    """Delete the rows of these calls whose reply is not final, so that they can be carried out again."""
    for call in calls:
        is_it = (inbox.c.caller == _caller_of(call), inbox.c.message_id == call.message_id)
        connection.execute(delete(inbox).where(*is_it, inbox.c.status == TOO_MANY_REQUESTS))


def _reply_of(row: Row[Any] | None, call: Call) -> EncodedReply | None:
    if row is None:
        return None
    if not call.is_like(bytes(row.digest)):
        names = call.differences(bytes(row.digest))
        errors = tuple(FieldError(f"/{name}", "It was different then.", ID_REUSED.code) for name in names)
        return EncodedReply.problem(structs.replace(ID_REUSED, errors=errors), call.trace)
    return EncodedReply(row.status, bytes(row.reply), row.location, version=_version_of(row, call))


def _version_of(row: Row[Any], call: Call) -> str:
    """That of what the stored reply shows; empty if it has none, or is a problem.

    The reply is not read as its class: an older release may have stored it, with other fields.
    """
    path = getattr(call.operation, "reply_type", Reply).version_path
    if row.status >= 400 or not path:
        return ""
    found: Any = parse(bytes(row.reply))
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found)


def _caller_of(call: Call) -> str:
    return EVENTS if call.kind == "event" else call.caller.id


def outcome_of(connection: Connection, caller: str, message_id: str) -> EncodedReply | None:
    """The reply to a message; None while there is none."""
    row = connection.execute(_stored, {"caller": caller, "message_id": message_id}).one_or_none()
    return EncodedReply(row.status, bytes(row.reply), row.location) if row else None


def done_of(connection: Connection, caller: str, message_ids: Iterable[str]) -> set[str]:
    """Those of these message ids of a caller that were handled."""
    statement = select(inbox.c.message_id).where(inbox.c.caller == caller, inbox.c.message_id.in_(list(message_ids)))
    return set(connection.execute(statement).scalars())


ID_REUSED = Invalid(
    "idempotency-key-reuse", 422, "Idempotency key reused", "This message id was used for another request."
).problem
