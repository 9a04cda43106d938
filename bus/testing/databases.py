"""Migrated databases: of SQLite each is a copy of the first, as the revisions take longer than most tests do."""

import tempfile
from functools import cache
from pathlib import Path

from bus.database.engine import Database
from bus.database.migrate import migrate


def migrated(url: str, migrations: str | None) -> Database:
    """The database at this URL of SQLAlchemy, with all tables of the library and of a service.

    `migrations` is the package of the service's Alembic history; None for a service without tables of its own. Raises
    what `migrate` raises.
    """
    database = Database(url)
    if database.file is None or database.file.exists():
        migrate(database, migrations)
    else:
        database.file.parent.mkdir(parents=True, exist_ok=True)
        database.file.write_bytes(_new_file(migrations))
    return database


@cache
def _new_file(migrations: str | None) -> bytes:
    """The file of an SQLite database in which nothing but the revisions was done."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "new.db"
        database = Database(f"sqlite:///{file}")
        migrate(database, migrations)
        database.close()  # the last connection moves its write-ahead log into the file
        return file.read_bytes()
