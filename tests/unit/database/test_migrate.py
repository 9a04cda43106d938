"""Migrating: the history leads to the tables that are declared, and a worker knows whether it was followed."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, delete, insert

import auth.tables
import catalog.tables
from bus.database import tables
from bus.database.engine import Database, DatabaseUnavailable
from bus.database.migrate import NotMigrated, check_migrated, migrate
from catalog.tables import product

HISTORIES = {
    "auth.migrations": [auth.tables.metadata, tables.metadata],
    "catalog.migrations": [catalog.tables.metadata, tables.metadata],
}

_insert = insert(product).values(name="Lamp", price=1, quantity=1, version=1).returning(product.c.id)


@pytest.fixture
def empty(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path}/empty.db")


@pytest.mark.parametrize("history", HISTORIES)
def test_the_migrated_schema_is_the_declared_one(empty: Database, history: str) -> None:
    migrate(empty, history)
    assert differences(empty, HISTORIES[history]) == []


def test_a_difference_would_be_seen(empty: Database) -> None:
    migrate(empty, "auth.migrations")
    assert differences(empty, HISTORIES["catalog.migrations"]) != []


@pytest.mark.parametrize("history", HISTORIES)
def test_a_worker_knows_whether_its_database_was_migrated(empty: Database, history: str) -> None:
    with pytest.raises(NotMigrated, match="run `bus migrate`"):
        check_migrated(empty, history)
    assert migrate(empty, history) == "0003"
    check_migrated(empty, history)


def test_migrating_again_changes_nothing(empty: Database) -> None:
    migrate(empty, "catalog.migrations")
    assert migrate(empty, "catalog.migrations") == "0003"


def test_a_database_at_another_revision_is_not_taken_for_migrated(empty: Database) -> None:
    migrate(empty, "catalog.migrations")
    with empty.transaction() as transaction:
        transaction.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NotMigrated, match="revision 9999"):
        check_migrated(empty, "catalog.migrations")


def test_a_database_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailable):
        migrate(Database("postgresql://nobody@127.0.0.1:1/nothing"), "catalog.migrations")


def test_ids_are_never_given_out_twice(empty: Database) -> None:
    """In SQLite that needs AUTOINCREMENT; else a deleted product's id comes back."""
    migrate(empty, "catalog.migrations")
    with empty.transaction() as transaction:
        first = transaction.connection.execute(_insert).scalar_one()
        transaction.connection.execute(delete(product))
        assert transaction.connection.execute(_insert).scalar_one() > first


def differences(database: Database, declared: list[MetaData]) -> list[object]:
    """What Alembic would migrate to get from the database to the declared tables."""
    everything = MetaData()
    for metadata in declared:
        for table in metadata.tables.values():
            table.to_metadata(everything)
    with database.transaction() as transaction:
        return list(compare_metadata(MigrationContext.configure(transaction.connection), everything))
