"""Queries on the stored dead letters: which ones a person means, counted, one a line, or one with everything in it."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, true

from bus.contract.codec import read_json
from bus.database.tables import dead_letter
from bus.dead_letters.reading import OriginalProperties
from bus.dead_letters.store import CHOSEN

_NUMBER = re.compile(r"[0-9]{1,18}")


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is asked for; all that is given must hold. `error` is a reason or the class of an error, `which` a
    message id, a letter's number or its id; `state` is empty for any; `action` is the one that took them last."""

    operation: str = ""
    error: str = ""
    since: datetime | None = None
    which: str = ""
    state: str = ""
    action: int = 0

    @property
    def is_everything(self) -> bool:
        """Whether nothing was asked for, but the state."""
        return not (self.operation or self.error or self.since or self.which)

    def __str__(self) -> str:
        """As the options of the command that say the same."""
        given = {"operation": self.operation, "error": self.error, "since": self.since, "id": self.which}
        words = (f"--{name} {value}" for name, value in given.items() if value)
        return " ".join(words) or "--all"

    def condition(self) -> ColumnElement[bool]:
        """The same for the database."""
        column = dead_letter.c
        conditions = [column.state == self.state if self.state else true()]
        if self.operation:
            conditions.append(column.operation == self.operation)
        if self.error:
            conditions.append(or_(column.reason == self.error, column.error_class == self.error))
        if self.since:
            conditions.append(column.last_at >= self.since)
        if self.action:
            conditions.append(column.action_id == self.action)
        if self.which:
            conditions.append(named(self.which))
        return and_(*conditions)


def named(which: str) -> ColumnElement[bool]:
    """The letters with this message id, number or letter id."""
    names = or_(dead_letter.c.message_id == which, dead_letter.c.letter_id == which)
    return or_(names, dead_letter.c.id == int(which)) if _NUMBER.fullmatch(which) else names


# Letters read at once where no limit is given; who has more deals with them in several goes.
MAX_LETTERS = 100_000

_SUMMARY = tuple(
    dead_letter.c[name]
    for name in (
        *("id", "letter_id", "operation", "origin_queue", "reason", "error_class", "attempts"),
        *("first_at", "last_at", "message_id", "whole", "state", "action_id"),
    )
)


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one operation that died of the same."""

    operation: str
    reason: str
    error_class: str
    count: int
    first_at: datetime
    last_at: datetime


class DeadLetterSummary(msgspec.Struct, frozen=True, kw_only=True):
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


class DeadLetterDetail(DeadLetterSummary, frozen=True, kw_only=True):
    """A letter with everything in it."""

    detail: str
    traceback: str
    properties: OriginalProperties
    body: bytes
    handled_at: datetime | None
    replayed_as: str | None


def grouped(connection: Connection, choice: DeadLetterFilter, limit: int) -> list[DeadLetterGroup]:
    """The letters counted by operation and cause, the latest group last."""
    column = dead_letter.c
    names = (column.operation, column.reason, column.error_class)
    first, last = func.min(column.first_at).label("first_at"), func.max(column.last_at).label("last_at")
    statement = select(*names, func.count().label("count"), first, last).where(choice.condition())
    rows = connection.execute(statement.group_by(*names).order_by(last).limit(limit))
    return [DeadLetterGroup(**in_utc(row)) for row in rows]


def each(connection: Connection, choice: DeadLetterFilter, limit: int = MAX_LETTERS) -> list[DeadLetterSummary]:
    """The letters one by one, in the order they arrived."""
    statement = _ordered(select(*_SUMMARY).where(choice.condition())).limit(limit)
    return [DeadLetterSummary(**in_utc(row)) for row in connection.execute(statement)]


def newest(connection: Connection, which: str) -> DeadLetterDetail | None:
    """Everything of the letter that is meant, the newest where several are; None where there is none."""
    statement = select(dead_letter).where(named(which)).order_by(dead_letter.c.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return _stored(row) if row else None


def next_chosen(connection: Connection, action_id: int) -> DeadLetterDetail | None:
    """The first letter of an action that waits to be sent again."""
    chosen = and_(dead_letter.c.action_id == action_id, dead_letter.c.state == CHOSEN)
    row = connection.execute(_ordered(select(dead_letter).where(chosen)).limit(1)).one_or_none()
    return _stored(row) if row else None


def _stored(row: Any) -> DeadLetterDetail:
    fields = in_utc(row)
    properties = read_json(bytes(fields["properties"]), OriginalProperties)
    return DeadLetterDetail(**{**fields, "properties": properties, "body": bytes(fields["body"])})


def _ordered(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(dead_letter.c.id)


def in_utc(row: Any) -> dict[str, Any]:
    """A row's columns; SQLite gives times without their zone, which is UTC."""
    return {
        name: value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value
        for name, value in row._mapping.items()
    }
