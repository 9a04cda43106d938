"""Migrating: bringing a service's database to the newest revisions of its two Alembic histories.

The library's history, `bus.database.migrations`, makes the library's tables and is run first; the service's own makes
only the service's. A lock keeps two migrations of one database apart, so any number of processes may migrate at the
same moment: one does the work, the others find it done.

A revision that says `compatible = True` leaves a database that the release before it can still work with. Only the
newer release has that file, so `bus migrate` writes down which older revisions the database still serves, in
`compatible_revisions`; a worker whose newest revision is among them starts.

Indexes of large tables follow when the migration is committed (`concurrent_indexes.py`).
"""

import fcntl
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, MetaData, Table, delete, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError

from bus.database import concurrent_indexes
from bus.database.connecting import check_file, check_usable
from bus.database.encryption import check_key, write_check
from bus.database.engine import Database
from bus.database.migrations import VERSION_TABLE
from bus.database.revisions import DECLARED
from bus.database.tables import compatible_revision
from bus.database.tables import metadata as library_tables

# For another migration to end: twice as long as the longest statement.
WAIT_SECONDS = 60.0
# Between two tries of the lock.
TRY_SECONDS = 0.1

# Each schema has histories of its own. The lock ends with the transaction, however that ends.
_try_lock = text(
    "SELECT pg_try_advisory_xact_lock(hashtext('bus.migrations'), hashtext(coalesce(current_schema(), '')))"
)


class NotMigrated(Exception):
    """A database is at revisions that this release cannot work with, or cannot be migrated. The operator has to act."""


class _History:
    """An Alembic history: its package, and the table that says how far a database has followed it."""

    def __init__(self, package: str, version_table: str) -> None:
        self.package, self.version_table = package, version_table

    @property
    def config(self) -> Config:
        config = Config(stdout=io.StringIO())
        folder = Path(str(import_module(self.package).__file__)).parent
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        return config

    @cached_property
    def scripts(self) -> ScriptDirectory:
        """The revisions. They are read once, as that takes longer than to look into the database."""
        return ScriptDirectory.from_config(self.config)

    @property
    def newest(self) -> str:
        return str(self.scripts.get_current_head())

    @property
    def declared(self) -> MetaData:
        """The tables that a service declares: its `env.py` gives them to `run_revisions`."""
        config, found = self.config, list[MetaData]()
        config.attributes[DECLARED] = found
        script = ScriptDirectory.from_config(config)
        with EnvironmentContext(config, script):
            script.run_env()
        return found[0]

    def upgrade(self, connection: Connection) -> None:
        """Raises NotMigrated for a database at a revision that this history does not have, and DBAPIError."""
        if self.is_served_by_newer(connection):
            return
        config = self.config
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise NotMigrated(
                f"{self.package} cannot be run: {error}. Was the database migrated by a newer release? Then use that."
            ) from error

    def write_compatible(self, connection: Connection) -> None:
        """Write down the older revisions whose releases can work with the database, now that it is at the newest."""
        if self.current(connection) != self.newest:  # a newer release has done it
            return
        connection.execute(delete(compatible_revision).where(compatible_revision.c.history == self.package))
        rows = [{"history": self.package, "revision": revision} for revision in self.compatible()]
        if rows:
            connection.execute(insert(compatible_revision), rows)

    def compatible(self) -> Iterator[str]:
        """The revisions before the newest one that everything after them is compatible with, the latest first."""
        for script in self.scripts.walk_revisions():
            if not getattr(script.module, "compatible", False) or not isinstance(script.down_revision, str):
                return
            yield script.down_revision

    def current(self, connection: Connection) -> str | None:
        context = MigrationContext.configure(connection, opts={"version_table": self.version_table})
        return context.get_current_revision()

    def is_served_by_newer(self, connection: Connection) -> bool:
        """Whether a newer release migrated the database, and left it so that this release can work with it."""
        if self.current(connection) == self.newest or not inspect(connection).has_table(compatible_revision.name):
            return False
        at = compatible_revision.c
        wanted = select(at.revision).where(at.history == self.package, at.revision == self.newest)
        return connection.execute(wanted).first() is not None

    def why_unusable(self, connection: Connection) -> str:
        """In words, where a database is at a revision that this release cannot work with; empty when it is not."""
        current, newest = self.current(connection), self.newest
        if current == newest or self.is_served_by_newer(connection):
            return ""
        return f"at revision {current} of {self.package}, not {newest}"


def migrate(database: Database, migrations: str | None) -> str:
    """Bring a database up to date; returns the revision of the service's history.

    All revisions are one transaction. On PostgreSQL, indexes of large tables are built after it, beside other work.

    `migrations` is the package of that history; None for a service without tables of its own. A database that a newer
    release has migrated stays as it is, if it still serves this one. Waits for another migration of the same database,
    at most WAIT_SECONDS. Makes the key of a new database, where it is a file.

    Raises DatabaseUnavailable, DatabaseUnusable, DatabaseKeyError, and NotMigrated when the other one does not end or
    the database refuses.
    """
    histories = _histories(migrations)
    _check_file(database)
    try:
        with _exclusive(database) as connection:
            check_usable(connection)
            check_key(connection)
            database.keys.make()
            for history in histories:
                history.upgrade(connection)
            write_check(connection)
            for history in histories:
                history.write_compatible(connection)
            revision = str(histories[-1].current(connection))
        _build_indexes(database, histories[0])
        return revision
    except DBAPIError as error:
        raise NotMigrated(f"the database refuses the migration: {error.orig}") from error


def _build_indexes(database: Database, ours: _History) -> None:
    """Make the library's indexes that are missing, unless a newer release says which ones there are."""
    with database.reading() as transaction:
        if not concurrent_indexes.missing(transaction.connection):
            return
    with _exclusive(database) as connection:
        if ours.current(connection) != ours.newest:
            return
        indexes = concurrent_indexes.missing(connection)
        # It only holds the lock now. As the last statement this one leaves no snapshot, for whose end PostgreSQL waits.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        concurrent_indexes.build(database, indexes)


def check_migrated(database: Database, migrations: str) -> None:
    """Raises NotMigrated when this release cannot work with the database, and DatabaseKeyError with a wrong key.

    Raises DatabaseUnusable and DatabaseUnavailable too.

    A release can work at the newest revisions of both histories, and at later ones that are compatible with them.
    """
    _check_file(database)
    with database.reading() as transaction:
        check_usable(transaction.connection)
        behind = [words for each in _histories(migrations) if (words := each.why_unusable(transaction.connection))]
        if behind:
            raise NotMigrated(f"its database is {', and '.join(behind)}: run `bus migrate`")
        check_key(transaction.connection)


def tables_of(migrations: str) -> list[Table]:
    """All tables in the database of a service, the library's first. `migrations` is the package of its history."""
    return [*library_tables.sorted_tables, *_History(migrations, "alembic_version").declared.sorted_tables]


def _check_file(database: Database) -> None:
    """Raises DatabaseUnusable, without a connection: the first one to a new file is made under its lock."""
    if database.file is not None:
        check_file(database.file)


def _histories(migrations: str | None) -> Sequence[_History]:
    """In the order in which they are run."""
    ours = _History("bus.database.migrations", VERSION_TABLE)
    return [ours] if migrations is None else [ours, _History(migrations, "alembic_version")]


@contextmanager
def _exclusive(database: Database) -> Iterator[Connection]:
    """A transaction beside which no other migration of this database runs.

    Raises NotMigrated when another one holds the lock for WAIT_SECONDS, and DatabaseUnavailable.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    if database.kind == "postgresql":
        while True:  # a transaction for each try, so that the one that gets the lock sees what was committed before
            with database.transaction() as transaction:
                if transaction.connection.execute(_try_lock).scalar_one():
                    yield transaction.connection
                    return
            _wait(deadline, "end its connection: it is in pg_locks, with locktype advisory")
    # The file is locked before the first connection: that may switch it to WAL, which two cannot do at once.
    with _file_lock(database.file, deadline), database.transaction() as transaction:
        transaction.connection.begin()  # else Alembic would commit after each revision
        yield transaction.connection


@contextmanager
def _file_lock(file: Path | None, deadline: float) -> Iterator[None]:
    """Hold a lock on a file beside the database. It ends with this process; the file stays, and means nothing.

    A database in memory needs none: no other process can reach it.
    """
    if file is None:
        yield
        return
    path = file.resolve().with_name(f"{file.resolve().name}-migrate.lock")
    try:
        lock = path.open("a")
    except OSError as error:
        raise NotMigrated(f"{path} cannot be opened: {error.strerror}. Let this user write to its folder") from error
    with lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                _wait(deadline, f"end the process that holds {path}")
        yield


def _wait(deadline: float, remedy: str) -> None:
    """Until the next try. Raises NotMigrated after the deadline."""
    if time.monotonic() > deadline:
        raise NotMigrated(
            f"another migration of this database has not ended for {WAIT_SECONDS:g} s. "
            f"Wait for it, then run `bus migrate` again. If it hangs, {remedy}"
        )
    time.sleep(TRY_SECONDS)
