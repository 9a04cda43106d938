"""Database gauges: what waits in the database, as the metrics show it. On both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from support.event_services import WordAdded

from bus.database import outbox
from bus.database.engine import Database, Outgoing
from bus.database.tables import dead_letter
from bus.database.tables import outbox as table
from bus.database.trouble import DatabaseUnavailable
from bus.telemetry.metrics import Metrics
from bus.testing.databases import migrated
from bus.worker.background.gauges import DatabaseGauges


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    of_kind = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/a.db",
        "postgresql": lambda: request.getfixturevalue("database_url"),
    }
    database = migrated(of_kind[request.param](), "catalog.migrations")
    yield database
    database.close()


def _shown(metrics: Metrics, name: str) -> float:
    [line] = [line for line in metrics.text().decode().splitlines() if line.startswith(f"{name}{{")]
    assert 'service="catalog"' in line
    return float(line.split()[-1])


def _letter(number: int, state: str) -> dict[str, object]:
    now = datetime.now(UTC)
    texts = dict.fromkeys(("operation", "origin_queue", "reason", "detail", "error_class", "traceback"), "x")
    rest = {"properties": b"{}", "body": b"{}", "whole": True, "attempts": 1, "first_at": now, "last_at": now}
    return {"letter_id": str(number), "state": state, **texts, **rest}


def test_what_waits_is_shown_with_its_age(database: Database) -> None:
    metrics = Metrics()
    gauges = DatabaseGauges("catalog", database, metrics)
    gauges.run_once()
    assert [_shown(metrics, name) for name in ("bus_outbox_events", "bus_outbox_oldest_seconds")] == [0, 0]
    with database.transaction() as transaction:
        told = [Outgoing(WordAdded(thing=1, version=version, word="a")) for version in (1, 2, 3)]
        outbox.write(transaction.connection, told)
        ids = [row.id for row in outbox.unsent(transaction.connection, 10)]
        outbox.mark_sent(transaction.connection, ids[:1])
        long_ago = datetime.now(UTC) - timedelta(minutes=5)
        transaction.connection.execute(update(table).where(table.c.id == ids[1]).values(made_at=long_ago))
        letters = [_letter(number, state) for number, state in enumerate(["dead", "dead", "replayed", "discarded"])]
        transaction.connection.execute(insert(dead_letter), letters)
    gauges.run_once()
    assert _shown(metrics, "bus_outbox_events") == 2
    assert 299 <= _shown(metrics, "bus_outbox_oldest_seconds") < 360
    assert _shown(metrics, "bus_dead_letters_waiting") == 2


def test_a_database_that_is_away_ends_no_gauges(tmp_path: Path) -> None:
    gauges = DatabaseGauges("catalog", Database("postgresql://nobody@127.0.0.1:1/nothing"), Metrics())
    with pytest.raises(DatabaseUnavailable):
        gauges.run_once()
    gauges.start()
    gauges.stop(10.0)
