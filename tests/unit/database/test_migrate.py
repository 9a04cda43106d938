"""Migrating: two histories lead to the tables that are declared, and a worker knows whether they were followed."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from feed import tables as feed_tables
from sqlalchemy import Connection, MetaData, delete, insert, inspect
from support.migrations import newest_revision

import auth.tables
import catalog.tables
from bus.database import tables
from bus.database.engine import Database
from bus.database.migrate import NotMigrated, check_migrated, migrate
from bus.database.migrations import VERSION_TABLE
from bus.database.revisions import _virtual_tables
from bus.database.trouble import DatabaseUnavailable
from catalog.tables import product

HISTORIES = {
    "auth.migrations": auth.tables.metadata,
    "catalog.migrations": catalog.tables.metadata,
    "feed.migrations": feed_tables.metadata,
}

_insert = insert(product).values(name="Lamp", price=1, quantity=1, version=1).returning(product.c.id)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """An empty database, of both kinds in turn."""
    sqlite = request.param == "sqlite"
    return Database(f"sqlite:///{tmp_path}/empty.db" if sqlite else request.getfixturevalue("database_url"))


@pytest.mark.parametrize("history", HISTORIES)
def test_the_migrated_schema_is_the_declared_one(empty: Database, history: str) -> None:
    migrate(empty, history)
    assert differences(empty, HISTORIES[history], tables.metadata) == []


def test_a_difference_would_be_seen(empty: Database) -> None:
    migrate(empty, "auth.migrations")
    assert differences(empty, catalog.tables.metadata, tables.metadata) != []


@pytest.mark.parametrize("history", HISTORIES)
def test_a_worker_knows_whether_its_database_was_migrated(empty: Database, history: str) -> None:
    with pytest.raises(NotMigrated, match="run `bus migrate`"):
        check_migrated(empty, history)
    assert migrate(empty, history) == newest_revision(history)
    check_migrated(empty, history)


def test_migrating_again_changes_nothing(empty: Database) -> None:
    migrate(empty, "catalog.migrations")
    assert migrate(empty, "catalog.migrations") == newest_revision("catalog.migrations")


@pytest.mark.parametrize(
    ("version_table", "history"),
    [("alembic_version", "catalog.migrations"), (VERSION_TABLE, "bus.database.migrations")],
)
def test_the_history_that_is_not_at_its_newest_revision_is_named(
    empty: Database, version_table: str, history: str
) -> None:
    migrate(empty, "catalog.migrations")
    with empty.transaction() as transaction:
        transaction.connection.exec_driver_sql(f"UPDATE {version_table} SET version_num = '9999'")
    with pytest.raises(NotMigrated, match=rf"its database is at revision 9999 of {history}, not \d+: run"):
        check_migrated(empty, "catalog.migrations")
    with pytest.raises(NotMigrated, match=f"{history} cannot be run: .*'9999'.*newer release"):
        migrate(empty, "catalog.migrations")


def test_when_neither_history_was_followed_both_are_named(empty: Database) -> None:
    with pytest.raises(NotMigrated, match=r"of bus\.database\.migrations, not \d+, and at .* of auth\.migrations"):
        check_migrated(empty, "auth.migrations")


def test_a_migration_that_fails_leaves_nothing_behind(empty: Database) -> None:
    """Both histories are one transaction."""
    with empty.transaction() as transaction:
        transaction.connection.exec_driver_sql("CREATE TABLE users (id INTEGER)")
    with pytest.raises(NotMigrated, match=r"the database refuses the migration: .*users"):
        migrate(empty, "auth.migrations")
    with empty.transaction() as transaction:
        assert inspect(transaction.connection).get_table_names() == ["users"]


def test_a_database_that_is_away_is_said_to_be() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate(Database("postgresql://nobody@127.0.0.1:1/nothing"), "catalog.migrations")


def test_a_database_in_memory_needs_no_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    migrate(Database("sqlite://"), "catalog.migrations")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db-migrate.lock").mkdir()
    with pytest.raises(NotMigrated, match=r"a\.db-migrate\.lock cannot be opened: Is a directory"):
        migrate(Database(f"sqlite:///{tmp_path}/a.db"), "catalog.migrations")


def test_ids_are_never_given_out_twice(empty: Database) -> None:
    """In SQLite that needs AUTOINCREMENT; else a deleted product's id comes back."""
    migrate(empty, "catalog.migrations")
    with empty.transaction() as transaction:
        first = transaction.connection.execute(_insert).scalar_one()
        transaction.connection.execute(delete(product))
        assert transaction.connection.execute(_insert).scalar_one() > first


def differences(database: Database, *declared: MetaData) -> list[object]:
    """What Alembic would migrate to get from the database to the declared tables."""
    everything = MetaData()
    for metadata in declared:
        for table in metadata.tables.values():
            table.to_metadata(everything)
    with database.transaction() as transaction:
        connection = transaction.connection
        others = {"alembic_version", VERSION_TABLE, *_of_one_kind(connection)}
        declared_ones = {
            "include_name": lambda name, kind, _parents: kind not in ("table", "column") or name not in others
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=declared_ones), everything))


def _of_one_kind(connection: Connection) -> set[str]:
    """The tables of SQLite's full text indexes, and the columns that PostgreSQL computes for its own."""
    if connection.dialect.name == "sqlite":
        return _virtual_tables(connection)
    generated = "SELECT column_name FROM information_schema.columns WHERE is_generated = 'ALWAYS'"
    return set(connection.exec_driver_sql(generated).scalars())
