"""Choices: which of the stored dead letters a person means."""

import re
from datetime import datetime

import msgspec
from sqlalchemy import ColumnElement, and_, or_, true

from bus.database.tables import dead_letter

_NUMBER = re.compile(r"[0-9]{1,18}")


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
