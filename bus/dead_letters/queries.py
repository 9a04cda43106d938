"""Queries on the stored dead letters: filtered, then counted, listed, or one with everything in it."""

import re
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select, true

from bus.database.tables import dead_letter
from bus.dead_letters.store import CHOSEN, DeadLetter, DeadLetterSummary

_NUMBER = re.compile(r"[0-9]{1,18}")


class DeadLetterFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Letters that match every field given; an empty field matches all.

    `error` is a reason or the class of an error. `which` is a message id, a letter's number or its letter id.
    `since` is compared with the letter's last death. `action` is the number of the action that took the letter last.
    """

    operation: str = ""
    error: str = ""
    since: datetime | None = None
    which: str = ""
    state: str = ""
    action: int = 0

    @property
    def is_everything(self) -> bool:
        """Whether neither an operation, an error, a time nor an id is given."""
        return not (self.operation or self.error or self.since or self.which)

    def __str__(self) -> str:
        """The command line options that mean the same."""
        given = {"operation": self.operation, "error": self.error, "since": self.since, "id": self.which}
        words = (f"--{name} {value}" for name, value in given.items() if value)
        return " ".join(words) or "--all"

    def condition(self) -> ColumnElement[bool]:
        """The filter as an SQL condition."""
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


# Letters read at once where no limit is given; more need several commands.
MAX_LETTERS = 100_000

_SUMMARY = tuple(dead_letter.c[name] for name in DeadLetterSummary.__struct_fields__)


class DeadLetterGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Letters of one operation with the same cause."""

    operation: str
    reason: str
    error_class: str
    count: int
    first_at: datetime
    last_at: datetime


def grouped(connection: Connection, filter_: DeadLetterFilter, limit: int) -> list[DeadLetterGroup]:
    """The letters counted by operation and cause, the latest group last."""
    column = dead_letter.c
    names = (column.operation, column.reason, column.error_class)
    first, last = func.min(column.first_at).label("first_at"), func.max(column.last_at).label("last_at")
    statement = select(*names, func.count().label("count"), first, last).where(filter_.condition())
    rows = connection.execute(statement.group_by(*names).order_by(last).limit(limit))
    return [DeadLetterGroup(**row._mapping) for row in rows]


def each(connection: Connection, filter_: DeadLetterFilter, limit: int = MAX_LETTERS) -> list[DeadLetterSummary]:
    """The letters one by one, in the order they arrived."""
    statement = _ordered(select(*_SUMMARY).where(filter_.condition())).limit(limit)
    return [DeadLetterSummary(**row._mapping) for row in connection.execute(statement)]


def newest(connection: Connection, which: str) -> DeadLetter | None:
    """The newest letter with this number, letter id or message id; None without one."""
    statement = select(dead_letter).where(named(which)).order_by(dead_letter.c.id.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return DeadLetter.of_row(row) if row else None


def next_chosen(connection: Connection, action_id: int, most: int) -> list[DeadLetter]:
    """The first letters of an action that wait to be sent again, at most `most`."""
    chosen = and_(dead_letter.c.action_id == action_id, dead_letter.c.state == CHOSEN)
    rows = connection.execute(_ordered(select(dead_letter).where(chosen)).limit(most))
    return [DeadLetter.of_row(row) for row in rows]


def _ordered(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(dead_letter.c.id)
