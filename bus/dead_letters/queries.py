"""Lists of the stored dead letters: counted, in a line each, and one with everything in it."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, func, select

from bus.contract.prepared import read_json
from bus.database.tables import dead_letter
from bus.dead_letters.choice import Choice, named
from bus.dead_letters.reading import Kept
from bus.dead_letters.store import CHOSEN

# Letters read at once where no limit is given; who has more deals with them in several goes.
MAX_LETTERS = 100_000

_SUMMARY = tuple(
    dead_letter.c[name]
    for name in (
        *("id", "letter_id", "operation", "origin_queue", "reason", "error_class", "attempts"),
        *("first_at", "last_at", "message_id", "whole", "state", "action_id"),
    )
)


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one operation that died of the same."""

    operation: str
    reason: str
    error_class: str
    count: int
    first_at: datetime
    last_at: datetime


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A letter in a line."""

    id: int
    letter_id: str
    operation: str
    origin_queue: str
    reason: str
    error_class: str
    attempts: int
    first_at: datetime
    last_at: datetime
    message_id: str | None
    whole: bool
    state: str
    action_id: int | None


class Stored(Summary, frozen=True, kw_only=True):
    """A letter with everything in it."""

    detail: str
    traceback: str
    properties: Kept
    body: bytes
    handled_at: datetime | None
    replayed_as: str | None


def grouped(connection: Connection, choice: Choice, limit: int) -> list[Group]:
    """The letters counted by operation and cause, the latest group last."""
    column = dead_letter.c
    names = (column.operation, column.reason, column.error_class)
    first, last = func.min(column.first_at).label("first_at"), func.max(column.last_at).label("last_at")
    statement = select(*names, func.count().label("count"), first, last).where(choice.condition())
    rows = connection.execute(statement.group_by(*names).order_by(last).limit(limit))
    return [Group(**in_utc(row)) for row in rows]


def each(connection: Connection, choice: Choice, limit: int = MAX_LETTERS) -> list[Summary]:
    """The letters one by one, in the order they arrived."""
    statement = _ordered(select(*_SUMMARY).where(choice.condition())).limit(limit)
    return [Summary(**in_utc(row)) for row in connection.execute(statement)]


def newest(connection: Connection, which: str) -> Stored | None:
    """Everything of the letter that is meant, the newest where several are; None where there is none."""
    statement = select(dead_letter).where(named(which)).order_by(dead_letter.c.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return _stored(row) if row else None


def next_chosen(connection: Connection, action_id: int) -> Stored | None:
    """The first letter of an action that waits to be sent again."""
    chosen = and_(dead_letter.c.action_id == action_id, dead_letter.c.state == CHOSEN)
    row = connection.execute(_ordered(select(dead_letter).where(chosen)).limit(1)).one_or_none()
    return _stored(row) if row else None


def _stored(row: Any) -> Stored:
    fields = in_utc(row)
    properties = read_json(bytes(fields["properties"]), Kept)
    return Stored(**{**fields, "properties": properties, "body": bytes(fields["body"])})


def _ordered(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(dead_letter.c.id)


def in_utc(row: Any) -> dict[str, Any]:
    """A row's columns; SQLite gives times without their zone, which is UTC."""
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in row._mapping.items()
    }
