"""Indexes that PostgreSQL builds beside the work that goes on, after a migration.

A revision would hold its table's lock for as long as it reads the table, and no longer than a statement may take. So
an index of a table that may be large is declared as BUILT_CONCURRENTLY, and its revision makes it on SQLite
alone. `bus migrate` makes what is missing when the migration is committed. An index with other columns gets another
name: the one that it replaces serves until then, and is dropped last.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Index, text

from bus.database.engine import Database
from bus.database.tables import BUILT_CONCURRENTLY, metadata

# No row while the index is missing; False when its building was broken off, which leaves it unusable.
_is_valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
_is_there = text("SELECT to_regclass(CAST(:name AS text)) IS NOT NULL")


def missing(connection: Connection) -> Sequence[Index]:
    """The indexes that `build` has to make, or of which it has to drop what they replace; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    wanted = [
        index
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda each: str(each.name))
        if index.info.keys() >= BUILT_CONCURRENTLY.keys()
    ]
    return [each for each in wanted if not _is_usable(connection, each) or _replaced(connection, each)]


def build(database: Database, indexes: Sequence[Index]) -> None:
    """Make these indexes, each anew if its building was broken off. Nobody else may be building them.

    PostgreSQL waits for each transaction that began before, and meanwhile nothing waits for it. Raises
    DatabaseUnavailable, and DBAPIError.
    """
    with database.without_limits() as connection:
        for index in indexes:
            if not _is_usable(connection, index):
                columns = ", ".join(index.columns.keys())
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
                connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {index.name} ON {index.table} ({columns})")
            if replaced := _replaced(connection, index):
                connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {replaced}")


def _is_usable(connection: Connection, index: Index) -> bool:
    return bool(connection.execute(_is_valid, {"name": index.name}).scalar())


def _replaced(connection: Connection, index: Index) -> str | None:
    """The index that this one replaces, while it is there."""
    name: str | None = index.info.get("replaces")
    return name if connection.execute(_is_there, {"name": name}).scalar() else None
