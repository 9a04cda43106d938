"""Retention: rows of the inbox, the outbox, of failed tries and handled dead letters are deleted when they are old."""

import random
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Column, ColumnElement, Connection, Table, and_, delete, func, or_, select, tuple_

from bus.database.clock import now
from bus.database.engine import Database
from bus.database.tables import failed_attempt, inbox, is_refused, outbox
from bus.dead_letters.store import purge as purge_letters
from bus.worker.background.periodic import PeriodicTask

# Between two rounds, at most.
ROUND_SECONDS = 60.0
# In one transaction: few enough that no other waits long for the write lock, with a pause in between.
MOST_ROWS = 500
PAUSE_SECONDS = 0.05
# Tries that failed, at most: with the longest tracebacks that is a gigabyte.
MOST_ATTEMPTS = 100_000

log = structlog.get_logger("bus.worker")


class Retention(PeriodicTask):
    """Deletes what was done and sent more than `keep_days` ago, in small batches."""

    def __init__(self, service: str, database: Database, keep_days: float) -> None:
        super().__init__(f"{service}-retention")
        self._service, self._database, self._keep = service, database, timedelta(days=keep_days)

    def pause(self) -> float:
        """With jitter, so that many workers do not meet."""
        return ROUND_SECONDS * random.uniform(0.5, 1.0)

    def run_once(self) -> None:
        """Delete everything that is old enough."""
        deleted = 0
        with self._database.reading() as transaction:
            before = now(transaction.connection) - self._keep
        for purge in (purge_inbox, purge_outbox, purge_letters, purge_attempts):
            more = True
            while more and not self.stopping.wait(PAUSE_SECONDS):
                with self._database.transaction() as transaction:
                    rows = purge(transaction.connection, before, MOST_ROWS)
                deleted, more = deleted + rows, rows == MOST_ROWS
        if deleted:
            log.info("old_rows_deleted", service=self._service, rows=deleted)


def purge_inbox(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` rows of commands that were done before a time; returns how many."""
    return _purge(connection, inbox, (inbox.c.message_id, inbox.c.caller), inbox.c.done_at < before, most)


def purge_outbox(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` rows of events that were sent, or first refused, before a time; returns how many."""
    sent = _purge(connection, outbox, (outbox.c.id,), outbox.c.sent_at < before, most)
    refused = _purge(connection, outbox, (outbox.c.id,), and_(outbox.c.refused_at < before, is_refused), most - sent)
    if refused:
        log.warning("refused_events_deleted", rows=refused)
    return sent + refused


def purge_attempts(connection: Connection, before: datetime, most: int) -> int:
    """Delete at most `most` rows of tries that failed before a time, or before the last MOST_ATTEMPTS."""
    number = failed_attempt.c.id
    surplus = select(func.max(number) - MOST_ATTEMPTS).scalar_subquery()
    is_old = or_(failed_attempt.c.failed_at < before, number <= surplus)
    return _purge(connection, failed_attempt, (number,), is_old, most)


def _purge(
    connection: Connection, table: Table, key: tuple[Column[Any], ...], is_old: ColumnElement[bool], most: int
) -> int:
    old = select(*key).where(is_old).limit(most).with_for_update(skip_locked=True)
    return connection.execute(delete(table).where(tuple_(*key).in_(old))).rowcount
