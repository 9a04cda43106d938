"""Indexes that PostgreSQL builds beside the work that goes on, after a migration.

A revision would hold its table's lock for as long as it reads the table, and no longer than a statement may take. So
an index of a table that may be large is declared as BUILT_CONCURRENTLY, and its revision makes it on SQLite
alone. `bus migrate` makes what is missing when the migration is committed.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Index, text

from bus.database.engine import Database
from bus.database.tables import BUILT_CONCURRENTLY, metadata

# No row while the index is missing; False when its building was broken off, which leaves it unusable.
_is_valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def missing(connection: Connection) -> Sequence[Index]:
    """The indexes that `build` has to make; none on SQLite."""
    if connection.dialect.name != "postgresql":
        return []
    wanted = [
        index
        for table in metadata.sorted_tables
        for index in sorted(table.indexes, key=lambda each: str(each.name))
        if index.info == BUILT_CONCURRENTLY
    ]
    return [each for each in wanted if not connection.execute(_is_valid, {"name": each.name}).scalar()]


def build(database: Database, indexes: Sequence[Index]) -> None:
    """Make these indexes, each anew if its building was broken off. Nobody else may be building them.

    PostgreSQL waits for each transaction that began before, and meanwhile nothing waits for it. Raises
    DatabaseUnavailable, and DBAPIError.
    """
    with database.without_limits() as connection:
        for index in indexes:
            columns = ", ".join(index.columns.keys())
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {index.name}")
            connection.exec_driver_sql(f"CREATE INDEX CONCURRENTLY {index.name} ON {index.table} ({columns})")
