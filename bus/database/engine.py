"""Databases: opening PostgreSQL or SQLite so that both behave alike, and one error for one that cannot be reached."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from bus.contract.events import Event
from bus.database.connecting import DatabaseFileGone, prepare_connections
from bus.messaging.trace_context import Trace

# No statement, and no wait for a row that another transaction holds, lasts longer.
STATEMENT_SECONDS = 30
LOCK_SECONDS = 10
CONNECT_SECONDS = 3


class DatabaseUnavailable(Exception):
    """The database cannot be reached, or the connection was lost. The operator has to bring it back.

    After a lost COMMIT it is unknown whether it happened: look into the inbox before trying again.
    """


class Database:
    """One service's database. `url` is SQLAlchemy's (`postgresql+psycopg://…` or `sqlite:///…`).

    `file` is the file of an SQLite database, None for one in memory and for PostgreSQL.
    Opens no connection until one is needed. Raises ValueError for a URL of another kind.
    """

    def __init__(self, url: str, connections: int = 4) -> None:
        self.file = sqlite_file(url)
        self._engine = _open(url, connections)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        prepare_connections(self._engine, self.file)

    @property
    def kind(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._engine.dialect.name

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        """A transaction that opens with its first statement; commits when the block ends without an exception.

        Raises DatabaseUnavailable.
        """
        yield from _lazily(self._engine)

    @contextmanager
    def reading(self) -> Iterator["Transaction"]:
        """For reads: each statement in a transaction of its own. Raises DatabaseUnavailable."""
        yield from _lazily(self._reading)

    def answers(self) -> bool:
        """Whether the database can be reached now."""
        try:
            with self.reading() as transaction:
                transaction.connection.execute(select(1))
        except DatabaseUnavailable:
            return False
        return True

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


class PendingEvent(NamedTuple):
    """An event that a handler has emitted, and the trace of the request it came from, where that is known."""

    event: Event
    trace: Trace | None = None


class Transaction:
    """A connection, taken from the pool when it is first used, and the events to publish after the commit.

    `on_open` is called with the connection when it is taken.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._opened: Connection | None = None
        self.events: list[PendingEvent] = []
        self.on_open: Callable[[Connection], None] | None = None

    @property
    def connection(self) -> Connection:
        """The open connection. Raises DatabaseUnavailable."""
        if self._opened is None:
            try:
                self._opened = self._engine.connect()
            except (OperationalError, InterfaceError) as error:
                raise DatabaseUnavailable(str(error.orig)) from error
            except DatabaseFileGone as gone:
                raise DatabaseUnavailable(str(gone)) from gone
            if self.on_open is not None:
                self.on_open(self._opened)
        return self._opened

    @property
    def opened(self) -> Connection | None:
        """The connection, if one was taken."""
        return self._opened


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory, and for another kind."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def _lazily(engine: Engine) -> Iterator[Transaction]:
    transaction = Transaction(engine)
    try:
        yield transaction
        if transaction.opened is not None:
            transaction.opened.commit()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailable(str(error.orig)) from error
        raise
    finally:
        if transaction.opened is not None:
            transaction.opened.close()  # rolls back what was not committed


def _open(url: str, connections: int) -> Engine:
    kind = make_url(url).get_backend_name()
    if kind == "postgresql":
        return _open_postgresql(url, connections)
    if kind == "sqlite":
        return _open_sqlite(url)
    raise ValueError(f"no support for {kind}: use postgresql+psycopg:// or sqlite:///")


def _open_postgresql(url: str, connections: int) -> Engine:
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        hide_parameters=True,  # errors show the statement, never what a caller sent
        connect_args={"connect_timeout": CONNECT_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def set_limits(connection: Any, _record: object) -> None:
        connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{LOCK_SECONDS}s'")
        connection.commit()

    return engine


def _open_sqlite(url: str) -> Engine:
    waiting = {"timeout": LOCK_SECONDS, "check_same_thread": False}
    engine = create_engine(url, hide_parameters=True, connect_args=waiting)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin at the event below
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Taking the write lock first waits for it; upgrading a read lock later could only fail.
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
