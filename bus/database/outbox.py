"""The outbox: events that are committed with the change they report, and sent afterwards.

A row is written in the transaction of the change. The relay sends rows in the order of their ids and marks them
once the broker has confirmed them. For one entity that is the order of its changes: a transaction that changes
it waits for the one before, and writes its row after that. Several workers may relay at the same time. Each sends
from the oldest unmarked row on, so a later event never comes before an earlier one of its entity; at worst an event
comes twice, with the same id.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, bindparam, func, select, text

from bus.contract.codec import encode
from bus.contract.events import Event
from bus.database.bulk import insert_all, update_all
from bus.database.engine import PendingEvent
from bus.database.tables import outbox
from bus.messaging.message import JSON, SENT_AT, Message, now_ms
from bus.messaging.topology import EVENTS_EXCHANGE
from bus.messaging.trace_context import TRACEPARENT, TRACESTATE, Trace, continued

_unsent = select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id).limit(bindparam("most"))
# One relay at a time spares the listeners duplicates. The lock ends with the transaction, however that ends.
_lock = text("SELECT pg_try_advisory_xact_lock(hashtext('bus.outbox'), hashtext(current_schema()))")


def write(connection: Connection, events: Sequence[PendingEvent]) -> None:
    """Write events in their order, to be sent when the transaction is committed."""
    insert_all(connection, outbox, [_row(event, trace) for event, trace in events])


def unsent(connection: Connection, most: int) -> Sequence[Row[Any]]:
    """The oldest unsent events, at most `most`; empty while another worker sends them."""
    if connection.dialect.name == "postgresql" and not connection.execute(_lock).scalar_one():
        return []
    return connection.execute(_unsent, {"most": most}).all()


def mark_sent(connection: Connection, ids: Sequence[int]) -> None:
    """Mark events that the broker has confirmed."""
    update_all(connection, outbox, outbox.c.id, ids, {"sent_at": func.now()})


def hop_of(row: Row[Any]) -> Trace:
    """The trace context to send an event with; each time it is sent is a new span."""
    return continued({TRACEPARENT: row.traceparent, TRACESTATE: row.tracestate})


def message_of(row: Row[Any], hop: Trace | None = None) -> Message:
    """An event as it is published: its name is the routing key and `type`, its id the message id."""
    return Message(
        exchange=EVENTS_EXCHANGE,
        queue=row.name,
        type=row.name,
        body=bytes(row.body),
        message_id=row.event_id,
        content_type=JSON,
        persistent=True,
        headers={SENT_AT: now_ms(), **(hop or hop_of(row)).headers},
    )


def _row(event: Event, trace: Trace | None) -> dict[str, object]:
    return {
        "event_id": uuid4().hex,
        "name": type(event).operation_name,
        "body": encode(event),
        "traceparent": trace.traceparent if trace else None,
        "tracestate": trace.state if trace and trace.state else None,
    }
