"""Indexes of large tables are built while workers write to them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import Connection, insert
from support.migrations import newest_revision

from bus.database import concurrent_indexes
from bus.database.clock import sql_now
from bus.database.engine import Database
from bus.database.migrate import _History, check_migrated, migrate
from bus.database.migrations import VERSION_TABLE
from bus.database.tables import inbox
from bus.testing.waiting import wait_until

HISTORY, OURS = "catalog.migrations", "bus.database.migrations"
WAIT_SECONDS = 30.0
_STATES = "SELECT relname, indisvalid FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relname = ANY(%s)"
BUILT = ["dead_letters_of_action", "dead_letters_trace_id", "inbox_message_id"]
REPLACED = "dead_letters_action"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A PostgreSQL database as the release before these indexes left it."""
    made = Database(database_url)
    _upgrade(made, "0007")
    yield made
    made.close()


def _upgrade(database: Database, revision: str) -> None:
    config = _History(OURS, VERSION_TABLE).config
    with database.transaction() as transaction:
        config.attributes["connection"] = transaction.connection
        command.upgrade(config, revision)


def _write(connection: Connection, message_id: str) -> None:
    values = {"operation": "x", "digest": b"", "status": 200, "location": "", "reply": b"", "done_at": sql_now()}
    connection.execute(insert(inbox).values(caller="anonymous", message_id=message_id, **values))


def _states(database: Database) -> dict[str, bool]:
    """Which of the indexes are there, the replaced one among them, and whether they can be used."""
    with database.reading() as transaction:
        rows = transaction.connection.exec_driver_sql(_STATES, ([*BUILT, REPLACED],)).all()
        return {row.relname: row.indisvalid for row in rows}


def test_workers_write_before_and_while_an_index_is_built(database: Database) -> None:
    with ThreadPoolExecutor() as thread:
        with database.transaction() as before:
            _write(before.connection, "before")
            migrating = thread.submit(migrate, database, HISTORY)
            wait_until(lambda: _states(database).get("inbox_message_id") is False, WAIT_SECONDS, "it is being built")
            check_migrated(database, HISTORY)
            with database.transaction() as meanwhile:
                _write(meanwhile.connection, "meanwhile")
            assert not migrating.done()
        migrating.result(WAIT_SECONDS)
    assert _states(database) == dict.fromkeys(BUILT, True)


def test_an_index_whose_building_was_broken_off_is_built_again(database: Database) -> None:
    migrate(database, HISTORY)
    with database.transaction() as transaction:
        transaction.connection.exec_driver_sql(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'inbox_message_id'::regclass"
        )
        transaction.connection.exec_driver_sql("DROP INDEX dead_letters_trace_id")
    migrate(database, HISTORY)
    assert _states(database) == dict.fromkeys(BUILT, True)
    with database.reading() as transaction:
        assert concurrent_indexes.missing(transaction.connection) == []


def test_an_index_with_other_columns_replaces_the_old_one_when_it_is_there(database: Database) -> None:
    """Nothing of it waits for a writer's lock in the migration's transaction."""
    _upgrade(database, "0008")
    with ThreadPoolExecutor() as thread:
        with database.transaction() as before:
            before.connection.exec_driver_sql("LOCK TABLE dead_letters IN ROW EXCLUSIVE MODE")  # as a writer has it
            migrating = thread.submit(migrate, database, HISTORY)
            wait_until(lambda: _states(database).get(BUILT[0]) is False, WAIT_SECONDS, "it is being built")
            assert _states(database)[REPLACED]
        migrating.result(WAIT_SECONDS)
    assert _states(database) == dict.fromkeys(BUILT, True)


def test_a_replaced_index_that_was_left_is_dropped(database: Database) -> None:
    migrate(database, HISTORY)
    with database.transaction() as transaction:
        transaction.connection.exec_driver_sql(f"CREATE INDEX {REPLACED} ON dead_letters (action_id)")
    migrate(database, HISTORY)
    assert _states(database) == dict.fromkeys(BUILT, True)


def test_an_older_release_builds_nothing(database: Database) -> None:
    """A newer one may have dropped the index."""
    migrate(database, HISTORY)
    with database.transaction() as transaction:
        for statement in (
            "DROP INDEX inbox_message_id",
            f"UPDATE {VERSION_TABLE} SET version_num = '9999'",
            f"INSERT INTO compatible_revisions VALUES ('{OURS}', '{newest_revision(OURS)}')",
        ):
            transaction.connection.exec_driver_sql(statement)
    migrate(database, HISTORY)
    assert "inbox_message_id" not in _states(database)


def test_building_may_last_longer_than_the_limits_of_the_server(database_url: str) -> None:
    limits = ("statement_timeout", "lock_timeout")
    options = "%20".join(f"-c%20{each}%3D9s" for each in limits)
    with Database(f"{database_url}?options={options}").without_limits() as connection:
        assert [connection.exec_driver_sql(f"SHOW {each}").scalar_one() for each in limits] == ["0", "0"]
