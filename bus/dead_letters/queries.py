"""Queries on the stored dead letters: filtered, then counted, listed, or one with everything in it."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select, true, union_all

from bus.contract.codec import read_json
from bus.contract.operator.dead_letters import (
    CHOSEN,
    REPLAYED,
    DeadLetterFilter,
    DeadLetterGroup,
    DeadLetterSummary,
    OriginalProperties,
)
from bus.database.numbers import among_first
from bus.database.tables import dead_letter, dead_letter_action
from bus.dead_letters.body import Operations
from bus.dead_letters.store import STATES, DeadLetter
from bus.messaging.topology import is_events_queue

_NUMBER = re.compile(r"[0-9]{1,18}")

_column = dead_letter.c
_SUMMARY = tuple(_column[name] for name in DeadLetterSummary.__struct_fields__)


def matching(filter_: DeadLetterFilter) -> ColumnElement[bool]:
    """The filter as an SQL condition."""
    conditions = [_in_state(filter_)]
    if filter_.operation:
        conditions.append(_column.operation == filter_.operation)
    if filter_.error:
        conditions.append(or_(_column.reason == filter_.error, _column.error_class == filter_.error))
    if filter_.since:
        conditions.append(_column.last_at >= filter_.since)
    if filter_.action:
        conditions.append(_column.action_id == filter_.action)
    if filter_.which:
        conditions.append(named(filter_.which))
    if filter_.group:
        conditions += [_column[name] == value for name, value in structs.asdict(filter_.group).items()]
    if filter_.ids:
        conditions.append(_column.id.in_(filter_.ids))
    if filter_.up_to:
        # As a sum, so that it chooses no index: those that begin with the state serve lists and counts better.
        conditions.append(_column.id + 0 <= filter_.up_to)
    return and_(*conditions)


def named(which: str) -> ColumnElement[bool]:
    """The letters with this message id, number or letter id."""
    return _column.id.in_(union_all(*(select(_column.id).where(each) for each in _names(which))))


def why_not(letter: DeadLetterSummary, operations: Operations, *, has_other_body: bool = False) -> str:
    """Why a letter cannot be sent again; empty when it can."""
    if is_events_queue(letter.origin_queue):
        return "an event is a fact: it is sent as it was" if has_other_body else ""
    operation = operations.get(letter.operation)
    if operation is None:
        return "its queue is no operation of this service"
    if not operation.is_durable:
        return f"it is a {operation.operation_kind}, and no caller waits for its reply any more"
    if not (letter.whole or has_other_body):
        return "secrets were cut from its body, or it was not kept whole; give it another with --body"
    return ""


def replayable(operations: Operations, *, with_other_body: bool = False) -> ColumnElement[bool]:
    """The letters for which `why_not` has no reason, as an SQL condition."""
    durable = [name for name, operation in operations.items() if operation.is_durable]
    is_event = _column.origin_queue.endswith(".events", autoescape=True)
    is_command = and_(~is_event, _column.operation.in_(durable))
    if with_other_body:
        return is_command
    return or_(is_event, and_(is_command, _column.whole))


def grouped(connection: Connection, filter_: DeadLetterFilter, limit: int) -> list[DeadLetterGroup]:
    """The letters counted by operation and cause, the `limit` latest groups, the latest one last."""
    names = (_column.operation, _column.reason, _column.error_class)
    first, last = func.min(_column.first_at).label("first_at"), func.max(_column.last_at).label("last_at")
    statement = select(*names, func.count().label("count"), first, last).where(matching(filter_))
    rows = connection.execute(statement.group_by(*names).order_by(last.desc()).limit(limit)).all()
    return [DeadLetterGroup(**row._mapping) for row in reversed(rows)]


def each(
    connection: Connection, filter_: DeadLetterFilter, limit: int = -1, *, after: int = 0, newest_first: bool = False
) -> list[DeadLetterSummary]:
    """The letters one by one, in the order they arrived or the other way round, all unless `limit` is given.

    `after` is the number of the letter before the first one.
    """
    which = matching(filter_)
    if after:
        which = and_(which, _column.id < after if newest_first else _column.id > after)
    if limit >= 0 and _is_narrow(filter_):
        which = among_first(_column.id, which, most=limit, newest_first=newest_first)
    statement = select(*_SUMMARY).where(which).order_by(_column.id.desc() if newest_first else _column.id)
    rows = connection.execute(statement if limit < 0 else statement.limit(limit))
    return [DeadLetterSummary(**row._mapping) for row in rows]


def counted(connection: Connection, filter_: DeadLetterFilter, operations: Operations) -> tuple[int, int, int]:
    """How many letters match, how many of them can be sent again, and the highest number among them; 0 for none."""
    again = func.count().filter(replayable(operations))
    statement = select(func.count(), again, func.max(_column.id)).where(matching(filter_))
    count, replayable_count, newest_id = connection.execute(statement).one()
    return count, replayable_count, newest_id or 0


def newest(connection: Connection, which: str) -> DeadLetter | None:
    """The newest letter with this number, letter id or message id; None without one."""
    row = connection.execute(select(dead_letter).where(among_first(_column.id, *_names(which), most=1))).one_or_none()
    return DeadLetter.of_row(row) if row else None


def next_chosen(connection: Connection, action_id: int, most: int) -> list[DeadLetter]:
    """The first letters of an action that wait to be sent again, at most `most`."""
    chosen = and_(_column.action_id == action_id, _column.state == CHOSEN)
    rows = connection.execute(select(dead_letter).where(chosen).order_by(_column.id).limit(most))
    return [DeadLetter.of_row(row) for row in rows]


class Replayed(NamedTuple):
    """A letter that was sent again: with which message id, and what tells whose it is."""

    sent_as: str
    origin_queue: str
    properties: OriginalProperties


def last_replayed(connection: Connection, action_id: int, most: int) -> list[Replayed]:
    """The last letters of an action that were sent again, at most `most`."""
    sent = and_(_column.action_id == action_id, _column.state == REPLAYED)
    columns = (_column.replayed_as, _column.origin_queue, _column.properties)
    rows = connection.execute(select(*columns).where(sent).order_by(_column.id.desc()).limit(most))
    return [
        Replayed(row.replayed_as, row.origin_queue, read_json(bytes(row.properties), OriginalProperties))
        for row in rows
    ]


def ids_of_those_that_died_again(connection: Connection, action_id: int) -> Sequence[str]:
    """The message ids with which letters of an action were sent, and which became dead letters again since."""
    sent_as = select(_column.replayed_as).where(_column.action_id == action_id, _column.state == REPLAYED)
    made_at = select(dead_letter_action.c.made_at).where(dead_letter_action.c.id == action_id).scalar_subquery()
    # What died since has a higher number than all that the action took.
    is_new = and_(_column.id > _last_taken(connection, action_id), _column.last_at >= made_at)
    again = select(_column.message_id).where(_column.message_id.in_(sent_as), is_new)
    return list(connection.execute(again.distinct()).scalars())


def _last_taken(connection: Connection, action_id: int) -> int:
    """The highest number among the letters of an action, by its index: one look for each state."""
    numbers = (
        select(func.max(_column.id).label("number")).where(_column.action_id == action_id, _column.state == state)
        for state in STATES
    )
    last: int | None = connection.execute(select(func.max(union_all(*numbers).subquery().c.number))).scalar()
    return last or 0


def _names(which: str) -> Sequence[ColumnElement[bool]]:
    """What a letter may be named by. Each has an index."""
    names = [_column.message_id == which, _column.letter_id == which]
    return [*names, _column.id == int(which)] if _NUMBER.fullmatch(which) else names


def _is_narrow(filter_: DeadLetterFilter) -> bool:
    """Whether it asks for more than a state: then there may be few such letters, far from each other."""
    return bool(filter_.action) or not filter_.is_everything


def _in_state(filter_: DeadLetterFilter) -> ColumnElement[bool]:
    """The state as a condition, so that the right index is chosen."""
    if filter_.which or filter_.ids:  # few letters, with indexes of their own: another text than the column has none
        return _column.state + "" == filter_.state if filter_.state else true()
    if filter_.state:
        return _column.state == filter_.state
    # The index that has everything else begins with it.
    return _column.state.in_(STATES) if _is_narrow(filter_) else true()
