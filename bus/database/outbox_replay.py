"""Replays: events of a service's outbox sent again, for a listener that is new or was repaired.

They keep their ids, so a listener handles only those that it has not handled before.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from msgspec import structs
from sqlalchemy import ColumnElement, Row, and_, func, select

from bus.contract.builtin import SEND
from bus.database import outbox
from bus.database.engine import Database
from bus.database.tables import outbox as table
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all, taken_in_order
from bus.messaging.transport import PublishOutcome, Transport

MAX_EVENTS = 500
CONFIRM_SECONDS = 5.0
# A listener that runs makes room in its queue soon; one that has made none after this many tries is down.
FULL_SECONDS = 1.0
FULL_TRIES = 60

_TEMPORARY = (PublishOutcome.FULL, PublishOutcome.BLOCKED)

log = structlog.get_logger("bus.event_replay")


class ReplayStopped(Exception):
    """The broker took no more. The operator has to find out why, then replay again: no event is handled twice."""

    def __init__(self, outcome: PublishOutcome, queue: str, sent: int) -> None:
        reason = f"There is no queue {queue}." if outcome is PublishOutcome.UNROUTABLE else f"{queue}: {outcome.value}"
        super().__init__(f"{reason} Stopped after {sent} events.")


@dataclass(frozen=True)
class EventFilter:
    """Events made from `since` on and before `until`, all or those of one `name`. SQLite stores whole seconds."""

    since: datetime
    until: datetime | None = None
    name: str | None = None

    def condition(self) -> ColumnElement[bool]:
        """The filter as an SQL condition."""
        # SQLite compares times as text, where a whole second comes before the same second with a fraction.
        conditions = [table.c.made_at > self.since - timedelta(microseconds=1), ~table.c.name.endswith(SEND)]
        if self.until is not None:
            conditions.append(table.c.made_at < self.until)
        if self.name is not None:
            conditions.append(table.c.name == self.name)
        return and_(*conditions)


def count(database: Database, filter_: EventFilter) -> int:
    """How many events match. Raises DatabaseUnavailable."""
    with database.reading() as transaction:
        statement = select(func.count()).select_from(table).where(filter_.condition())
        return int(transaction.connection.execute(statement).scalar_one())


def replay(database: Database, transport: Transport, filter_: EventFilter, queue: str, rate: int | None = None) -> int:
    """Publish the matching events to a queue, at most `rate` a second; returns how many.

    Takes the events that are there when it begins, unsent ones too: the relay may send those before the listener's
    queue exists. Raises ReplayStopped and DatabaseUnavailable.
    """
    sent = after = refusals = 0
    last = _last_id(database)
    while rows := _page(database, filter_, after, last, min(MAX_EVENTS, rate or MAX_EVENTS)):
        begun = time.monotonic()
        outcomes = publish_all(transport, [_message_of(row, queue) for row in rows], CONFIRM_SECONDS)
        taken = taken_in_order(outcomes)
        sent, refusals = sent + taken, 0 if taken else refusals + 1
        if taken:
            after = rows[taken - 1].id
        if taken < len(rows):
            _wait_for_room(outcomes[taken], queue, sent, refusals)
        elif rate:
            time.sleep(max(0.0, len(rows) / rate - (time.monotonic() - begun)))
    return sent


def _wait_for_room(outcome: PublishOutcome, queue: str, sent: int, refusals: int) -> None:
    if outcome not in _TEMPORARY or refusals > FULL_TRIES:
        raise ReplayStopped(outcome, queue, sent)
    log.warning("events_not_confirmed", queue=queue, sent=sent, outcome=outcome.name)
    time.sleep(FULL_SECONDS)


def _last_id(database: Database) -> int:
    with database.reading() as transaction:
        return transaction.connection.execute(select(func.max(table.c.id))).scalar_one() or 0


def _page(database: Database, filter_: EventFilter, after: int, last: int, most: int) -> Sequence[Row[Any]]:
    statement = select(table).where(table.c.id > after, table.c.id <= last, filter_.condition())
    with database.reading() as transaction:
        return transaction.connection.execute(statement.order_by(table.c.id).limit(most)).all()


def _message_of(row: Row[Any], queue: str) -> Message:
    """The event as it was published, but straight to one queue."""
    return structs.replace(outbox.message_of(row), exchange="", queue=queue)
