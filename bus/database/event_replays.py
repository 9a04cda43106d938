"""Replays: events of a service sent again, for a listener that is new or was repaired.

They come from the outbox, which has them for some days, or from tables of the service (`past_events.py`). They keep
their ids, so a listener handles only those that it has not handled before.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import uuid4

from msgspec import structs
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, select, update

from bus import failpoints
from bus.contract.builtin import SEND
from bus.contract.codec import encode
from bus.contract.operator.actions import Action, ActionProgress, Sent
from bus.contract.operator.events import MAX_EVENTS, EventCount, EventFilter
from bus.database import outbox
from bus.database.actions import claim_lease, record, release_lease
from bus.database.clock import now
from bus.database.engine import Database
from bus.database.past_events import PastEvent, PastEvents
from bus.database.tables import event_replay
from bus.database.tables import outbox as table
from bus.messaging.message import Message
from bus.messaging.publishing import TEMPORARY, not_taken, taken_in_order
from bus.messaging.trace_context import begin as new_trace
from bus.messaging.transport import PublishOutcome

# A batch has to end where few events match. So it looks through this many rows of the outbox at most, and of past
# events through this many pages. Counting ends after as many past events as this many batches look through.
MOST_ROWS, MOST_PAGES, PAGE = 100_000, 20, 500
MOST_COUNTINGS = 20
# A service may keep the moments of its past events in whole milliseconds, rounded.
ROUNDING = timedelta(milliseconds=1)

_NEVER, _ALWAYS = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Send = Callable[[Sequence[Message]], Sequence[PublishOutcome]]


class _Found(NamedTuple):
    """An event to be sent, when it was made, and its place in the outbox or among the past events."""

    made_at: datetime
    message: Message
    position: int
    is_past: bool


class _Part(NamedTuple):
    """From one of the two places: the events that match, of those up to `position`. `is_last`: it has no more."""

    events: Sequence[_Found]
    position: int
    is_last: bool


class _Batch(NamedTuple):
    """The next events in their order, and the two parts that they are from."""

    events: Sequence[_Found]
    kept: _Part
    older: _Part


def counted(connection: Connection, filter_: EventFilter, past: PastEvents | None) -> EventCount:
    """How many events match; up to now, if the filter has no end. It may take long: no transaction should be open.

    It ends at MAX_EVENTS, and where it has looked through many past events that do not match.
    """
    until = filter_.until or now(connection) + ROUNDING
    filter_ = structs.replace(filter_, until=until)
    first = select(table.c.name).where(_condition(filter_, past)).limit(MAX_EVENTS + 1).subquery()
    by_name: Counter[str] = Counter()
    for name, count in connection.execute(select(first.c.name, func.count()).group_by(first.c.name)):
        by_name[name] = count
    found = _Part((), 0, is_last=False)
    for _ in range(MOST_COUNTINGS):
        if found.is_last or by_name.total() > MAX_EVENTS:
            break
        found = _next_past(connection, filter_, past, found.position, MOST_PAGES * PAGE)
        by_name.update(str(each.message.type) for each in found.events)
    is_more = not found.is_last or by_name.total() > MAX_EVENTS
    return EventCount(by_name=by_name, is_more=is_more, until=until)


def begin(
    connection: Connection, made_by: str, filter_: EventFilter, count: EventCount, queue: str, reason: str
) -> int:
    """Record an action that sends the events of a filter, which were counted, to a queue; returns its number."""
    action_id = record(connection, "events", made_by, f"{filter_} --to {queue}", reason, min(count.total, MAX_EVENTS))
    which = {"queue": queue, "since": filter_.since, "until": count.until, "name": filter_.name}
    begun = {"after_kept": 0, "after_past": 0, "sent": 0, "is_more": count.is_more, "is_over": False}
    connection.execute(insert(event_replay).values(action_id=action_id, **which, **begun))
    return action_id


def progress_of(connection: Connection, action: Action) -> ActionProgress:
    """How far a replay of events is."""
    replay = connection.execute(_replay_of(action.id)).one()
    return ActionProgress(action=action, sent=replay.sent, reached=replay.reached)


def send_next(database: Database, past: PastEvents | None, action_id: int, most: int, send: Send) -> Sent:
    """Send the next events of an action, at most `most`, up to the first that the broker does not confirm.

    No transaction is open while they are sent. One that is sent a second time, because a worker died, is no harm: a
    listener takes each id once. Raises UnknownAction, ActionBusy and DatabaseUnavailable.
    """
    holder = uuid4().hex
    with database.transaction() as transaction:
        action = claim_lease(transaction.connection, action_id, holder)
        replay = transaction.connection.execute(_replay_of(action_id)).one()
    changes: dict[str, Any] = {}
    try:
        with database.reading() as transaction:
            batch = _next(transaction.connection, replay, past, most)
        messages = [structs.replace(each.message, exchange="", queue=replay.queue) for each in batch.events]
        outcomes = send(messages)
        failpoints.reach("event-replay.after-confirm")
        changes = _changes(replay, batch, taken_in_order(outcomes))
    finally:
        with database.transaction() as transaction:
            # One that stood still until its lease had ended leaves the place where another is now.
            if release_lease(transaction.connection, action_id, holder) and changes:
                changing = update(event_replay).where(event_replay.c.action_id == action_id)
                transaction.connection.execute(changing.values(changes))
    taken = taken_in_order(outcomes)
    left = 0 if changes["is_over"] else max(1, action.taken - changes["sent"])
    if taken == len(messages):
        return Sent(sent=taken, left=left)
    why_stopped = str(not_taken(replay.queue, outcomes[taken]))
    return Sent(sent=taken, left=left, why_stopped=why_stopped, is_full=outcomes[taken] in TEMPORARY)


def _changes(replay: Row[Any], batch: _Batch, taken: int) -> dict[str, Any]:
    """The columns of a replay after the first `taken` events of a batch were sent."""
    sent = batch.events[:taken]
    is_whole = taken == len(batch.kept.events) + len(batch.older.events)
    return {
        "after_kept": _after(batch.kept, [each.position for each in sent if not each.is_past], replay.after_kept),
        "after_past": _after(batch.older, [each.position for each in sent if each.is_past], replay.after_past),
        "sent": replay.sent + taken,
        "reached": sent[-1].made_at if sent else replay.reached,
        "is_over": is_whole and batch.kept.is_last and batch.older.is_last,
    }


def _after(part: _Part, sent: Sequence[int], before: int) -> int:
    """Up to where a place was looked through, and all that was found there was sent."""
    return part.position if len(sent) == len(part.events) else max(sent, default=before)


def _next(connection: Connection, replay: Row[Any], past: PastEvents | None, most: int) -> _Batch:
    """The next events by their time; those of one entity, which all come from one of the two places, in their order."""
    filter_ = EventFilter(since=replay.since, until=replay.until, name=replay.name)
    kept = _next_kept(connection, filter_, past, replay.after_kept, most)
    older = _next_past(connection, filter_, past, replay.after_past, most)
    # A place that was not looked through to its end may have events that come before those of the other one.
    horizons = [
        max((each.made_at for each in part.events), default=_NEVER)
        for part in (kept, older)
        if not part.is_last and len(part.events) < most
    ]
    horizon = min(horizons, default=_ALWAYS)
    # Merging keeps the order within each of the two.
    merged = heapq.merge(kept.events, older.events, key=attrgetter("made_at"))
    ready = takewhile(lambda each: each.made_at <= horizon, merged)
    return _Batch(list(islice(ready, most)), kept, older)


def _next_kept(connection: Connection, filter_: EventFilter, past: PastEvents | None, after: int, most: int) -> _Part:
    """The next events of the outbox that match, at most `most`, among its next MOST_ROWS rows."""
    if past is not None and filter_.name in past.names:
        return _Part((), after, is_last=True)
    last = connection.execute(select(func.max(table.c.id))).scalar_one() or 0
    end = min(last, after + MOST_ROWS)
    following = select(table).where(table.c.id > after, table.c.id <= end, _condition(filter_, past))
    rows = connection.execute(following.order_by(table.c.id).limit(most)).all()
    events = [_Found(row.made_at, outbox.message_of(row), row.id, is_past=False) for row in rows]
    if len(events) == most:
        return _Part(events, events[-1].position, is_last=False)
    return _Part(events, max(after, end), is_last=end == last)


def _next_past(connection: Connection, filter_: EventFilter, past: PastEvents | None, after: int, most: int) -> _Part:
    """The next past events that match, at most `most`, among the next MOST_PAGES pages."""
    events: list[_Found] = []
    if past is None or not (filter_.name == "" or filter_.name in past.names):
        return _Part(events, after, is_last=True)
    for _ in range(MOST_PAGES):
        page = past.function(connection, filter_.since, after, PAGE)
        if not page:
            return _Part(events, after, is_last=True)
        matching = [each for each in page if _matches(each, filter_)][: most - len(events)]
        events += [_Found(each.made_at, _message_of(each), each.position, is_past=True) for each in matching]
        if len(events) == most:
            return _Part(events, events[-1].position, is_last=False)
        after = page[-1].position
    return _Part(events, after, is_last=False)


def _condition(filter_: EventFilter, past: PastEvents | None) -> ColumnElement[bool]:
    """The filter as an SQL condition for the outbox, without the events that come from the service's own tables."""
    # SQLite compares times as text, where a whole second comes before the same second with a fraction, even of zero.
    conditions = [table.c.made_at > filter_.since - timedelta(microseconds=1), ~table.c.name.endswith(SEND)]
    if past is not None:
        conditions.append(table.c.name.not_in(past.names))
    if filter_.until is not None:
        conditions.append(table.c.made_at <= filter_.until - timedelta(microseconds=1))
    if filter_.name:
        conditions.append(table.c.name == filter_.name)
    return and_(*conditions)


def _matches(event: PastEvent, filter_: EventFilter) -> bool:
    is_in_time = filter_.since <= event.made_at and (filter_.until is None or event.made_at < filter_.until)
    return is_in_time and filter_.name in ("", type(event.event).operation_name)


def _message_of(event: PastEvent) -> Message:
    """A past event as the relay would publish it, in a trace of its own."""
    name = type(event.event).operation_name
    return outbox.published(name, encode(event.event), event.message_id, new_trace())


def _replay_of(action_id: int) -> Select[Any]:
    return select(event_replay).where(event_replay.c.action_id == action_id)
