"""Housekeeping: an end to rows that are remembered long enough."""

import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Column, Connection, Table, bindparam, delete, select, tuple_

from bus.database.engine import Database, DatabaseUnavailable
from bus.database.tables import inbox, outbox
from bus.dead_letters.store import purge as purge_letters

# Between two rounds, with jitter so that many workers do not meet.
ROUND_SECONDS = 60.0
# Few enough that nobody waits for the rows behind one; with a pause between.
MOST_ROWS = 500
PAUSE_SECONDS = 0.05

log = structlog.get_logger("bus.housekeeping")


class Retention:
    """A thread that deletes what was done and sent more than `keep_days` ago, in small batches."""

    def __init__(self, service: str, database: Database, keep_days: float) -> None:
        self._service, self._database = service, database
        self._keep = timedelta(days=keep_days)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{service}-housekeeping", daemon=True)

    def start(self) -> None:
        """Begin; the first round comes within the usual time."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the batch in hand."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.wait(ROUND_SECONDS * random.uniform(0.5, 1.0)):
            try:
                deleted = self._round(datetime.now(UTC) - self._keep)
            except DatabaseUnavailable:
                continue  # told by those whose work it stops
            if deleted:
                log.info("old_rows_deleted", service=self._service, rows=deleted)

    def _round(self, before: datetime) -> int:
        deleted = 0
        for purge in (purge_inbox, purge_outbox, purge_letters):
            more = True
            while more and not self._stopping.wait(PAUSE_SECONDS):
                with self._database.transaction() as transaction:
                    rows = purge(transaction.connection, before, MOST_ROWS)
                deleted, more = deleted + rows, rows == MOST_ROWS
        return deleted


def purge_inbox(connection: Connection, before: datetime, most: int) -> int:
    """Forget at most so many commands that were done before a time; returns how many."""
    return _purge(connection, inbox, (inbox.c.caller, inbox.c.message_id), inbox.c.done_at, before, most)


def purge_outbox(connection: Connection, before: datetime, most: int) -> int:
    """Forget at most so many events that were sent before a time; returns how many."""
    return _purge(connection, outbox, (outbox.c.id,), outbox.c.sent_at, before, most)


def _purge(
    connection: Connection, table: Table, key: tuple[Column[Any], ...], time: Column[Any], before: datetime, most: int
) -> int:
    old = select(*key).where(time < bindparam("before")).limit(bindparam("most")).with_for_update(skip_locked=True)
    statement = delete(table).where(tuple_(*key).in_(old))
    return connection.execute(statement, {"before": before, "most": most}).rowcount
