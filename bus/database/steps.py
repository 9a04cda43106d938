"""Steps: calls that share one transaction, each of which can be undone without the others.

A savepoint for every call would cost each of them a statement. So a step that wrote nothing is undone by doing nothing,
and only steps that are to be `undoable` set a savepoint, before their first statement.
"""

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from bus.database.engine import Transaction

# Functions and words that may stand before a bracket in a SELECT that only reads. Any other function may write.
_HARMLESS = frozenset(
    re.findall(
        r"\w+",
        """all and any as by case else except exists filter from in intersect is like not on or over select then union
        using values when where abs avg cast coalesce count extract length lower max min nullif round sum trim unnest
        upper json_to_recordset json_each""",
    )
)
_BEFORE_BRACKET = re.compile(r"(\w+)\s*\(")


class Steps:
    """Follows what is written in a transaction. Make it before the first statement.

    `begin` starts a step, which ends with the next one. `undo` takes back all that the step did.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._undoable = self._has_savepoint = self._may_have_written = self._had_written = False
        self._events = self._changes = 0
        transaction.follower = self

    def begin(self, *, undoable: bool) -> None:
        """Start a step; `undoable` sets a savepoint before its first statement."""
        self._undoable, self._has_savepoint, self._may_have_written = undoable, False, False
        self._events = len(self._transaction.outgoing)
        connection = self._transaction.opened
        self._changes = _changes(connection) if connection is not None else 0

    def undo(self) -> bool:
        """Take back what this step has done; False if it wrote without a savepoint: then undo the transaction."""
        connection = self._transaction.opened
        if connection is not None and self._has_savepoint:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT step")
        elif connection is not None and self._has_written(connection):
            return False
        del self._transaction.outgoing[self._events :]
        return True

    def _has_written(self, connection: Connection) -> bool:
        if connection.dialect.name == "sqlite":  # it counts changed rows, which is exact
            return _changes(connection) != self._changes
        return self._may_have_written

    # The transaction calls these three.

    def opened(self, connection: Connection) -> None:
        self._changes = _changes(connection)  # it had a life before this transaction

    def before(self, cursor: Any, statement: str) -> None:
        if statement.startswith("BEGIN"):
            return
        if self._undoable and not self._has_savepoint:
            cursor.execute("SAVEPOINT step")
            self._has_savepoint = True
        if not only_reads(statement):
            self._had_written, self._may_have_written = self._may_have_written, True  # also if the statement fails

    def after(self, cursor: Any, statement: str) -> None:
        if cursor.rowcount == 0 and _counts_its_rows(statement):
            self._may_have_written = self._had_written


@lru_cache(maxsize=1024)
def only_reads(statement: str) -> bool:
    """Whether an SQL statement surely writes nothing. One that calls an unknown function may write."""
    lowered = statement.lstrip().lower()
    words = set(_BEFORE_BRACKET.findall(lowered))
    return lowered.startswith("select") and " into " not in lowered and words <= _HARMLESS


def _counts_its_rows(statement: str) -> bool:
    return statement.lstrip()[:6].lower() in ("insert", "update", "delete")


def _changes(connection: Connection) -> int:
    return getattr(connection.connection.dbapi_connection, "total_changes", 0)
