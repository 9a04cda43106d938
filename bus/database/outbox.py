"""The outbox: events and sent commands, committed with the change that they belong to and published afterwards.

A row is written in the transaction of the change. The relay sends rows in the order of their ids and marks them
once the broker has confirmed them. For one entity that is the order of its changes: a transaction that changes
it waits for the one before, and writes its row after that. One relay at a time sends, the one that holds the lease.
One that stood still until its lease had ended can only send again what another has sent since: an event comes twice
then, with the same id.

The exchange refuses an event for all if the queue of one listener is full, though the others have taken it. Such an
event is marked as refused, and sent again later, so that it stops no other.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, exists, func, select

from bus.contract.builtin import is_send
from bus.contract.codec import encode
from bus.database.bulk import insert_all, update_all
from bus.database.engine import Outgoing
from bus.database.tables import is_new, is_refused, outbox
from bus.messaging.message import JSON, SENT_AT, Message, now_ms
from bus.messaging.topology import EVENTS_EXCHANGE, REQUESTS_EXCHANGE
from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, Trace, continued

_new, _refused = (
    select(outbox).where(condition).order_by(outbox.c.id).limit(bindparam("most")) for condition in (is_new, is_refused)
)
_any_new, _any_refused = (select(exists().where(condition)) for condition in (is_new, is_refused))


def write(connection: Connection, messages: Sequence[Outgoing]) -> None:
    """Write messages in their order, to be sent when the transaction is committed."""
    rows = [
        {
            "event_id": message_id or uuid4().hex,
            "name": type(message).operation_name,
            "body": encode(message),
            "traceparent": trace.traceparent if trace else None,
            "tracestate": trace.state if trace and trace.state else None,
        }
        for message, trace, message_id in messages
    ]
    insert_all(connection, outbox, rows)


def has_unsent(connection: Connection, *, refused: bool = False) -> bool:
    """Whether there is anything to send; cheap, and writes nothing."""
    return bool(connection.execute(_any_refused if refused else _any_new).scalar_one())


def unsent(connection: Connection, most: int, *, refused: bool = False) -> Sequence[Row[Any]]:
    """The oldest unsent events, at most `most`: those that were never refused, or those that were."""
    return connection.execute(_refused if refused else _new, {"most": most}).all()


def mark_sent(connection: Connection, ids: Sequence[int]) -> None:
    """Mark events that the broker has confirmed."""
    update_all(connection, outbox, outbox.c.id, ids, {"sent_at": func.now()})


def mark_refused(connection: Connection, ids: Sequence[int]) -> None:
    """Mark events that the full queue of a listener refused."""
    update_all(connection, outbox, outbox.c.id, ids, {"refused_at": func.now()})


def hop_of(row: Row[Any]) -> Trace:
    """The trace context to send an event with; each time it is sent is a new span."""
    return continued({TRACEPARENT: row.traceparent, TRACESTATE: row.tracestate})


def message_of(row: Row[Any], hop: Trace | None = None) -> Message:
    """A row as it is published."""
    return published(row.name, bytes(row.body), row.event_id, hop or hop_of(row))


def published(name: str, body: bytes, message_id: str, hop: Trace) -> Message:
    """An event or a sent command as the relay publishes it. The name of an event is the routing key and `type`."""
    return Message(
        exchange=REQUESTS_EXCHANGE if is_send(name) else EVENTS_EXCHANGE,
        queue=name,
        type=name,
        body=body,
        message_id=message_id,
        content_type=JSON,
        persistent=True,
        headers={SENT_AT: now_ms(), **hop.headers},
    )
