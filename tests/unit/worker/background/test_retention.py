"""Housekeeping: what is old goes, in small batches, and nothing else does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from bus.database.engine import Database
from bus.database.tables import failed_attempt, inbox, outbox
from bus.testing.databases import migrated
from bus.testing.waiting import wait_until
from bus.worker.background.retention import MOST_ATTEMPTS, Retention, purge_attempts, purge_inbox, purge_outbox

NOW = datetime.now(UTC)
OLD, FRESH = NOW - timedelta(days=8), NOW - timedelta(days=6)
BEFORE = NOW - timedelta(days=7)


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = migrated(url, "catalog.migrations")
    yield database
    database.close()


def _fill(database: Database, done_at: datetime, count: int, sent: bool = True) -> None:
    row = {"caller": "a", "operation": "a.b", "digest": b"", "status": 200, "location": "", "reply": b"{}"}
    done = [{**row, "message_id": f"{done_at}{n}", "done_at": done_at} for n in range(count)]
    event = {"name": "a.b", "body": b"{}", "made_at": done_at, "sent_at": done_at if sent else None}
    with database.transaction() as transaction:
        transaction.connection.execute(insert(inbox), done)
        transaction.connection.execute(insert(outbox), [{**event, "event_id": str(n)} for n in range(count)])


def _counts(database: Database) -> tuple[int, int]:
    with database.reading() as transaction:
        statements = (select(func.count()).select_from(table) for table in (inbox, outbox))
        first, second = (int(transaction.connection.execute(each).scalar_one()) for each in statements)
    return first, second


@pytest.mark.parametrize("purge", [purge_inbox, purge_outbox])
def test_old_rows_go_a_few_at_a_time_and_fresh_ones_stay(kept: Database, purge: object) -> None:
    _fill(kept, OLD, 5)
    _fill(kept, FRESH, 2)
    deleted = []
    while not deleted or deleted[-1]:
        with kept.transaction() as transaction:
            deleted.append(purge(transaction.connection, BEFORE, 2))  # type: ignore[operator]
    assert deleted == [2, 2, 1, 0]
    assert _counts(kept) == ((2, 7) if purge is purge_inbox else (7, 2))


def test_failed_tries_go_when_they_are_old_or_too_many(kept: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"caller": "a", "operation": "a.b", "worker": "w", "error_class": "", "detail": "", "traceback": ""}
    tries = [{**row, "number": n, "trace_id": "", "failed_at": OLD if n < 3 else FRESH} for n in range(8)]
    with kept.transaction() as transaction:
        transaction.connection.execute(insert(failed_attempt), tries)
    deleted = []
    for most in (MOST_ATTEMPTS, 2):
        monkeypatch.setattr("bus.worker.background.retention.MOST_ATTEMPTS", most)
        while not deleted or deleted[-1]:
            with kept.transaction() as transaction:
                deleted.append(purge_attempts(transaction.connection, BEFORE, 2))
        deleted.append(-1)
    assert deleted == [2, 1, 0, -1, 2, 1, 0, -1]
    with kept.reading() as transaction:
        assert transaction.connection.execute(select(failed_attempt.c.number)).scalars().all() == [6, 7]


def test_an_event_that_was_never_sent_stays(kept: Database) -> None:
    _fill(kept, OLD, 3, sent=False)
    with kept.transaction() as transaction:
        assert purge_outbox(transaction.connection, BEFORE, 10) == 0


def test_the_thread_does_so_by_itself(kept: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.worker.background.retention.ROUND_SECONDS", 0.01)
    monkeypatch.setattr("bus.worker.background.retention.MOST_ROWS", 2)
    _fill(kept, OLD, 5)
    _fill(kept, FRESH, 1)
    housekeeping = Retention("catalog", kept, keep_days=7)
    housekeeping.start()
    wait_until(lambda: _counts(kept) == (1, 1), 30, "old rows are gone")
    housekeeping.stop(30)
