"""The table of dead letters: its rows, and how workers use it: to store, to answer a caller, to purge."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import structs
from sqlalchemy import Connection, Row, bindparam, delete, select

from bus.contract.codec import read_json
from bus.contract.operator.dead_letters import CHOSEN, DEAD, DISCARDED, REPLAYED, DeadLetterSummary, OriginalProperties
from bus.database.bulk import find_all, insert_all
from bus.database.tables import dead_letter

HANDLED = (REPLAYED, DISCARDED)
STATES = (DEAD, CHOSEN, *HANDLED)

_newest = (
    select(dead_letter.c.state, dead_letter.c.reason, dead_letter.c.replayed_as)
    .where(dead_letter.c.message_id == bindparam("message_id"))
    .order_by(dead_letter.c.id.desc())
    .limit(1)
)
_oldest_handled = (
    select(dead_letter.c.id)
    .where(dead_letter.c.state.in_(HANDLED), dead_letter.c.handled_at < bindparam("before"))
    .limit(bindparam("limit"))
)


class DeadLetter(DeadLetterSummary, frozen=True, kw_only=True):
    """A whole row of the table."""

    detail: str
    traceback: str
    properties: OriginalProperties
    body: bytes
    handled_at: datetime | None = None
    replayed_as: str | None = None
    trace_id: str | None = None

    @classmethod
    def of_row(cls, row: Row[Any]) -> "DeadLetter":
        """A letter as it was stored."""
        columns = row._asdict()
        properties = read_json(bytes(columns.pop("properties")), OriginalProperties)
        return cls(**{**columns, "properties": properties, "body": bytes(row.body)})

    def as_row(self) -> dict[str, Any]:
        """The columns to insert; the database numbers the letter."""
        columns = {name: getattr(self, name) for name in DeadLetter.__struct_fields__ if name != "id"}
        return {**columns, "properties": msgspec.json.encode(self.properties)}


class ReceivedDeadLetter(DeadLetter, frozen=True, kw_only=True):
    """A letter that came off the service's queue of dead letters, and how it came.

    `by_broker`: the broker moved it there, so its caller has no answer yet. `has_own_id`: `letter_id` is the one that
    a worker gave it. `again`: the broker has delivered it before.
    """

    by_broker: bool
    has_own_id: bool
    again: bool


class Resolution(NamedTuple):
    """What became of a dead letter; `replayed_as` is the message id of its replay, empty without one."""

    state: str
    reason: str
    replayed_as: str


def store(connection: Connection, letters: Sequence[ReceivedDeadLetter]) -> None:
    """Insert letters; a letter that is in the table already stays as it is."""
    rows = [letter.as_row() for letter in _with_unique_ids(connection, letters)]
    if rows:
        insert_all(connection, dead_letter, rows, unique=dead_letter.c.letter_id)


def resolution_of(connection: Connection, message_id: str) -> Resolution | None:
    """What became of the newest letter with this message id; None without one."""
    row = connection.execute(_newest, {"message_id": message_id}).one_or_none()
    return Resolution(row.state, row.reason, row.replayed_as or "") if row else None


def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` letters that were replayed or discarded before a time; returns how many.

    Letters that still wait for a person stay, however old.
    """
    statement = delete(dead_letter).where(dead_letter.c.id.in_(_oldest_handled))
    return connection.execute(statement, {"before": before, "limit": limit}).rowcount


def _with_unique_ids(connection: Connection, letters: Sequence[ReceivedDeadLetter]) -> list[ReceivedDeadLetter]:
    """Letters without an id of ours have one derived from their content, so equal messages share it.

    One that is delivered for the first time is a letter of its own, and gets a new id.
    """
    derived = [letter.letter_id for letter in letters if not letter.has_own_id]
    found = find_all(connection, dead_letter, dead_letter.c.letter_id, derived) if derived else ()
    known = {row.letter_id for row in found}
    unique = []
    for letter in letters:
        is_another = letter.letter_id in known and not (letter.has_own_id or letter.again)
        unique.append(structs.replace(letter, letter_id=uuid4().hex) if is_another else letter)
        known.add(letter.letter_id)
    return unique
