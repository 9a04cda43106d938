"""The table of dead letters, as workers use it: to store, to tell a caller, to forget what was dealt with."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
from msgspec import structs
from sqlalchemy import Connection, bindparam, delete, select

from bus.database.bulk import find_all, insert_all
from bus.database.tables import dead_letter
from bus.dead_letters.reading import DeadLetter

DEAD, CHOSEN, REPLAYED, DISCARDED = "dead", "chosen", "replayed", "discarded"
HANDLED = (REPLAYED, DISCARDED)

_NOT_COLUMNS = ("kept", "by_broker", "has_own_id", "again")

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


class Resolution(NamedTuple):
    """What became of a dead letter; `replayed_as` is the message id it was sent again with, empty while it was not."""

    state: str
    reason: str
    replayed_as: str


def store(connection: Connection, letters: Sequence[DeadLetter]) -> None:
    """Write letters; those that are there already are left as they are."""
    rows = [_row(letter) for letter in _told_apart(connection, letters)]
    if rows:
        insert_all(connection, dead_letter, rows, unique=dead_letter.c.letter_id)


def resolution_of(connection: Connection, message_id: str) -> Resolution | None:
    """What became of the newest letter with this message id; None when there is none."""
    row = connection.execute(_newest, {"message_id": message_id}).one_or_none()
    return Resolution(row.state, row.reason, row.replayed_as or "") if row else None


def purge(connection: Connection, before: datetime, limit: int) -> int:
    """Delete up to `limit` letters that were replayed or discarded before a time; returns how many.

    Those nobody has dealt with stay, however old.
    """
    statement = delete(dead_letter).where(dead_letter.c.id.in_(_oldest_handled))
    return connection.execute(statement, {"before": before, "limit": limit}).rowcount


def _told_apart(connection: Connection, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
    """Without an id of ours, equal messages have equal ids. One that was never delivered before is another one."""
    derived = [letter.letter_id for letter in letters if not letter.has_own_id]
    found = find_all(connection, dead_letter, dead_letter.c.letter_id, derived) if derived else ()
    known = {row.letter_id for row in found}
    apart = []
    for letter in letters:
        is_another = letter.letter_id in known and not (letter.has_own_id or letter.again)
        apart.append(structs.replace(letter, letter_id=uuid4().hex) if is_another else letter)
        known.add(letter.letter_id)
    return apart


def _row(letter: DeadLetter) -> dict[str, Any]:
    row = {name: value for name, value in structs.asdict(letter).items() if name not in _NOT_COLUMNS}
    return {**row, "properties": msgspec.json.encode(letter.kept), "state": DEAD}
