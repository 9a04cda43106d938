"""The library's tables: times are aware and in UTC on both databases; dead letters have the columns of their table."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import StatementError

from bus.database.engine import Database
from bus.database.tables import dead_letter, metadata, outbox
from bus.dead_letters.store import DeadLetter

NOON = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)
IN_TOKYO = NOON.astimezone(timezone(timedelta(hours=9)))
_EVENT = {"event_id": "1", "name": "a.b", "body": b"{}"}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """With the library's tables, of both kinds in turn; PostgreSQL's session has another time zone than UTC."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/a.db" if sqlite else request.getfixturevalue("database_url")
    database = Database(url if sqlite else f"{url}?options=-ctimezone%3DAsia/Tokyo")
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
    yield database
    database.close()


@pytest.mark.parametrize("given", [NOON, IN_TOKYO])
def test_a_moment_comes_back_in_utc_whatever_its_zone_was(database: Database, given: datetime) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(insert(outbox).values(**_EVENT, sent_at=given))
        row = transaction.connection.execute(select(outbox).where(outbox.c.sent_at == given)).one()
        oldest = transaction.connection.execute(select(func.min(outbox.c.sent_at))).scalar_one()
    assert row.sent_at == oldest == NOON
    assert row.sent_at.tzinfo is row.made_at.tzinfo is oldest.tzinfo is UTC
    assert abs(datetime.now(UTC) - row.made_at) < timedelta(hours=1)


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with (
        pytest.raises(StatementError, match="has no time zone"),
        database.transaction() as transaction,
    ):
        transaction.connection.execute(insert(outbox).values(**_EVENT, sent_at=NOON.replace(tzinfo=None)))


def test_a_dead_letter_has_the_columns_of_its_table() -> None:
    assert set(DeadLetter.__struct_fields__) == set(dead_letter.c.keys())
