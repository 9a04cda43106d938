"""The database of a service: the engine, the tables that the library keeps there, inbox and outbox, bulk statements.

It imports `bus.telemetry` and what is below. Security, dead letters, services and workers import it; clients, front
ends and contracts never do.

Start at `engine.py`, then `inbox.py`, the table that makes every effect happen once. A new table of the library is
declared in `tables.py` and made by a new revision in `migrations/versions/`.
"""

from typing import TYPE_CHECKING

from bus import lazy_exports
from bus.database.bulk import find_all, insert_all, lock_all, update_all, update_each
from bus.database.clock import now, sql_now
from bus.database.engine import Database
from bus.database.pages import RowPage, page_of

if TYPE_CHECKING:
    from bus.database.encryption import encrypt_column
    from bus.database.revisions import run_revisions

__all__ = [
    "Database",
    "RowPage",
    "encrypt_column",
    "find_all",
    "insert_all",
    "lock_all",
    "now",
    "page_of",
    "run_revisions",
    "sql_now",
    "update_all",
    "update_each",
]

# Lazily, because only migrations need them, and Alembic.
__getattr__ = lazy_exports(
    __name__, {"bus.database.encryption": ("encrypt_column",), "bus.database.revisions": ("run_revisions",)}
)
