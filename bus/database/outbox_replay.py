"""Replays: events of a service sent again, for a listener that is new or was repaired.

They come from the outbox, which has them for some days, or from tables of the service (`past_events.py`). They keep
their ids, so a listener handles only those that it has not handled before.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any

import structlog
from msgspec import structs
from sqlalchemy import ColumnElement, Row, and_, func, select

from bus.contract.builtin import SEND
from bus.contract.codec import encode
from bus.database import outbox
from bus.database.engine import Database
from bus.database.past_events import PastEvent, PastEvents
from bus.database.tables import outbox as table
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all, taken_in_order
from bus.messaging.trace_context import begin
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

    def condition(self, past: PastEvents | None = None) -> ColumnElement[bool]:
        """The filter as an SQL condition for the outbox, without the events that come from the service's own tables."""
        # SQLite compares times as text, where a whole second comes before the same second with a fraction.
        conditions = [table.c.made_at > self.since - timedelta(microseconds=1), ~table.c.name.endswith(SEND)]
        if past is not None:
            conditions.append(table.c.name.not_in(past.names))
        if self.until is not None:
            conditions.append(table.c.made_at < self.until)
        if self.name is not None:
            conditions.append(table.c.name == self.name)
        return and_(*conditions)

    def takes(self, event: PastEvent) -> bool:
        """Whether a past event matches."""
        is_in_time = self.since <= event.made_at and (self.until is None or event.made_at < self.until)
        return is_in_time and self.name in (None, type(event.event).operation_name)


def count(database: Database, filter_: EventFilter, past: PastEvents | None = None) -> int:
    """How many events match. Raises DatabaseUnavailable."""
    with database.reading() as transaction:
        statement = select(func.count()).select_from(table).where(filter_.condition(past))
        kept = int(transaction.connection.execute(statement).scalar_one())
    return kept + sum(1 for _ in _past(database, filter_, past))


def replay(
    database: Database,
    transport: Transport,
    filter_: EventFilter,
    queue: str,
    rate: int | None = None,
    past: PastEvents | None = None,
) -> int:
    """Publish the matching events to a queue, at most `rate` a second; returns how many.

    Takes the events that are there when it begins, unsent ones too: the relay may send those before the listener's
    queue exists. Raises ReplayStopped and DatabaseUnavailable.
    """
    sent = refusals = 0
    most = min(MAX_EVENTS, rate or MAX_EVENTS)
    messages = matching(database, filter_, past)
    waiting: list[Message] = []
    while waiting := [*waiting, *islice(messages, most - len(waiting))]:
        begun = time.monotonic()
        outcomes = publish_all(transport, [_to(queue, message) for message in waiting], CONFIRM_SECONDS)
        taken = taken_in_order(outcomes)
        sent, refusals = sent + taken, 0 if taken else refusals + 1
        if taken < len(waiting):
            _wait_for_room(outcomes[taken], queue, sent, refusals)
        elif rate:
            time.sleep(max(0.0, len(waiting) / rate - (time.monotonic() - begun)))
        waiting = waiting[taken:]
    return sent


def matching(database: Database, filter_: EventFilter, past: PastEvents | None = None) -> Iterator[Message]:
    """The matching events as they were published, by their time. Those of one entity are in their order.

    Raises DatabaseUnavailable.
    """
    # Merging keeps the order within each of the two, and an entity's events are all in one of them.
    both = heapq.merge(_kept(database, filter_, past), _past(database, filter_, past), key=itemgetter(0))
    return (message for _, message in both)


def _wait_for_room(outcome: PublishOutcome, queue: str, sent: int, refusals: int) -> None:
    if outcome not in _TEMPORARY or refusals > FULL_TRIES:
        raise ReplayStopped(outcome, queue, sent)
    log.warning("events_not_confirmed", queue=queue, sent=sent, outcome=outcome.name)
    time.sleep(FULL_SECONDS)


def _kept(database: Database, filter_: EventFilter, past: PastEvents | None) -> Iterator[tuple[datetime, Message]]:
    """The events of the outbox, and when they were made."""
    with database.reading() as transaction:
        after, last = 0, transaction.connection.execute(select(func.max(table.c.id))).scalar_one() or 0
    while rows := _page(database, filter_.condition(past), after, last):
        yield from ((row.made_at, outbox.message_of(row)) for row in rows)
        after = rows[-1].id


def _page(database: Database, condition: ColumnElement[bool], after: int, last: int) -> Sequence[Row[Any]]:
    statement = select(table).where(table.c.id > after, table.c.id <= last, condition)
    with database.reading() as transaction:
        return transaction.connection.execute(statement.order_by(table.c.id).limit(MAX_EVENTS)).all()


def _past(database: Database, filter_: EventFilter, past: PastEvents | None) -> Iterator[tuple[datetime, Message]]:
    """The events that come from the service's own tables, and when they were made."""
    if past is None or not (filter_.name is None or filter_.name in past.names):
        return
    with database.reading() as transaction:
        for each in past.function(transaction.connection, filter_.since):
            name = type(each.event).operation_name
            if filter_.takes(each):
                yield each.made_at, outbox.published(name, encode(each.event), each.message_id, begin())


def _to(queue: str, message: Message) -> Message:
    """The event as it was published, but straight to one queue."""
    return structs.replace(message, exchange="", queue=queue)
