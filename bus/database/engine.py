"""Databases: opening PostgreSQL or SQLite so that both behave alike, with an end to every wait.

What an error of a database means is decided in `trouble.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import URL, Connection, Engine, ExceptionContext, NullPool, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError

from bus.columns import ciphers
from bus.contract.builtin import Send
from bus.contract.events import Event
from bus.database.answer_deadlines import AnswerDeadlines
from bus.database.connecting import for_psycopg
from bus.database.encryption import DatabaseKeys
from bus.database.trouble import READ_ONLY_STATE, DatabaseUnavailable, trouble_of
from bus.messaging.trace_context import Trace

# No statement, and no wait for a row that another transaction holds, lasts longer.
STATEMENT_SECONDS = 30
LOCK_SECONDS = 10
CONNECT_SECONDS = 3
# A transaction of a process that stands still keeps its rows no longer than this.
IDLE_SECONDS = 30
# A server that is there answers within this time. One that does not is silent: the connection is given up.
ANSWER_SECONDS = STATEMENT_SECONDS + 5
COMMIT_SECONDS = 15
# The kernel notices by itself that nobody is at the other end any more (libpq, 34.1.2).
TCP_LIMITS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": COMMIT_SECONDS * 1000,
}
_LIMITS = (
    f"SET statement_timeout = '{STATEMENT_SECONDS}s'; SET lock_timeout = '{{:.0f}}ms'; "
    f"SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'"
)
_NO_LIMITS = "SET statement_timeout = 0; SET lock_timeout = 0"


class Database:
    """One service's database. `url` is SQLAlchemy's (`postgresql+psycopg://…` or `sqlite:///…`).

    `file` is the file of an SQLite database, None for one in memory and for PostgreSQL. `lock_seconds` is how long a
    statement waits for another transaction on PostgreSQL; SQLite, with one lock for all, waits LOCK_SECONDS.
    `keys` encrypt its secrets; without them, a key that only this process has, as in tests.
    Opens no connection until one is needed. Raises ValueError for a URL of another kind.
    """

    def __init__(
        self, url: str, connections: int = 4, lock_seconds: float = LOCK_SECONDS, *, keys: DatabaseKeys | None = None
    ) -> None:
        self.file, self.keys = sqlite_file(url), keys or DatabaseKeys()
        # SQLite has no server that could fall silent.
        self._deadlines = AnswerDeadlines() if make_url(url).get_backend_name() == "postgresql" else None
        self._engine = _open(url, connections, lock_seconds, self._deadlines)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        ciphers[self._engine.dialect] = self.keys
        if self._deadlines is not None:
            event.listen(self._engine, "do_connect", for_psycopg)
        elif self.file is not None:
            _watch_file(self._engine, self.file)
        _call_followers(self._engine)

    @property
    def kind(self) -> str:
        """`postgresql` or `sqlite`."""
        return self._engine.dialect.name

    @contextmanager
    def transaction(self, lock_seconds: float | None = None) -> Iterator["Transaction"]:
        """A transaction that opens with its first statement; commits when the block ends without an exception.

        `lock_seconds` replaces the database's own for this transaction. Raises DatabaseUnavailable, and DatabaseBusy.
        """
        if lock_seconds is not None and self.kind == "sqlite":
            lock_seconds = None
        yield from self._lazily(Transaction(self._engine, self._reading, lock_seconds))

    @contextmanager
    def reading(self) -> Iterator["Transaction"]:
        """For reads: each statement in a transaction of its own. Raises DatabaseUnavailable, and DatabaseBusy."""
        yield from self._lazily(Transaction(self._reading, self._reading))

    @contextmanager
    def without_limits(self) -> Iterator[Connection]:
        """A connection of its own to PostgreSQL, whose statements may last: each is a transaction.

        Raises DatabaseUnavailable, and DBAPIError.
        """
        engine = create_engine(
            self._engine.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=_tcp_limits(self._engine.url),
        )
        event.listen(engine, "do_connect", for_psycopg)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(_NO_LIMITS)  # else those of the role, or of the server
                yield connection
        except DBAPIError as error:
            if trouble := trouble_of(error):
                raise trouble from error
            raise

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
        if self._deadlines is not None:
            self._deadlines.close()

    def _lazily(self, transaction: "Transaction") -> Iterator["Transaction"]:
        deadlines = self._deadlines
        try:
            yield transaction
            if transaction.opened is not None:
                with nullcontext() if deadlines is None else deadlines.within(COMMIT_SECONDS, transaction.opened):
                    transaction.opened.commit()
        except DBAPIError as error:
            if trouble := trouble_of(error):
                raise trouble from error
            raise
        finally:
            if transaction.opened is not None:
                with nullcontext() if deadlines is None else deadlines.within(COMMIT_SECONDS, transaction.opened):
                    transaction.opened.close()  # rolls back what was not committed


class Outgoing(NamedTuple):
    """What a handler has emitted or sent, and the trace of the request it came from, where that is known.

    `message_id` is None for one that is made when it is written.
    """

    message: Event | Send
    trace: Trace | None = None
    message_id: str | None = None


class Follower(Protocol):
    """Is called about a transaction."""

    def opened(self, connection: Connection) -> None:
        """The transaction has taken its connection, and no statement was executed."""

    def before(self, cursor: Any, statement: str) -> None:
        """A statement is executed next, with this cursor of the database's driver."""

    def after(self, cursor: Any, statement: str) -> None:
        """It was executed, and did not fail."""


class Transaction:
    """A connection, taken from the pool when it is first used, and the messages to publish after the commit.

    `opened` is the connection, once it was taken. `follower`, if any, is called about each statement.
    """

    def __init__(self, engine: Engine, reading: Engine, lock_seconds: float | None = None) -> None:
        self._engine, self._reading, self._lock_seconds = engine, reading, lock_seconds
        self.opened: Connection | None = None
        self.outgoing: list[Outgoing] = []
        self.follower: Follower | None = None

    @property
    def connection(self) -> Connection:
        """The open connection. Raises DatabaseUnavailable."""
        if self.opened is None:
            try:
                self.opened = self._engine.connect()
            except (OperationalError, InterfaceError) as error:
                raise trouble_of(error) or DatabaseUnavailable(str(error.orig)) from error
            except DatabaseFileGone as gone:
                raise DatabaseUnavailable(str(gone)) from gone
            if self._lock_seconds is not None:
                self.opened.exec_driver_sql(f"SET LOCAL lock_timeout = '{self._lock_seconds * 1000:.0f}ms'")
            self.opened.info[_FOLLOWER] = self.follower  # the connection had another one before
            if self.follower is not None:
                self.follower.opened(self.opened)
        return self.opened

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Another connection, each statement of which is a transaction of its own. Raises DatabaseUnavailable."""
        aside = Transaction(self._reading, self._reading)
        try:
            yield aside.connection
        finally:
            if aside.opened is not None:
                aside.opened.close()


_FOLLOWER = "bus.follower"


def _call_followers(engine: Engine) -> None:
    """Listen once for all transactions: listening to one connection takes SQLAlchemy longer than a statement does."""

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if (follower := connection.info.get(_FOLLOWER)) is not None:
            follower.before(cursor, statement)

    @event.listens_for(engine, "after_cursor_execute")
    def after(connection: Connection, cursor: Any, statement: str, *_: object) -> None:
        if (follower := connection.info.get(_FOLLOWER)) is not None:
            follower.after(cursor, statement)


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory, and for another kind."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def _open(url: str, connections: int, lock_seconds: float, deadlines: AnswerDeadlines | None) -> Engine:
    kind = make_url(url).get_backend_name()
    if deadlines is not None:
        return _open_postgresql(url, connections, lock_seconds, deadlines)
    if kind == "sqlite":
        return _open_sqlite(url)
    raise ValueError(f"no support for {kind}: use postgresql+psycopg:// or sqlite:///")


def _open_postgresql(url: str, connections: int, lock_seconds: float, deadlines: AnswerDeadlines) -> Engine:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    engine = create_engine(
        parsed,
        pool_size=connections,
        hide_parameters=True,  # errors show the statement, never what a caller sent
        connect_args=_tcp_limits(parsed),
    )

    @event.listens_for(engine, "connect")
    def set_limits(connection: Any, _record: object) -> None:
        with deadlines.within(ANSWER_SECONDS, connection):
            connection.execute(_LIMITS.format(lock_seconds * 1000))
            connection.commit()

    @event.listens_for(engine, "handle_error")
    def renew(context: ExceptionContext) -> None:
        # The primary may be elsewhere by now, and the host or the list of hosts in the URL lead to it.
        if getattr(context.original_exception, "sqlstate", None) == READ_ONLY_STATE:
            context.is_disconnect = True

    deadlines.watch_statements(engine, ANSWER_SECONDS)
    return engine


def _tcp_limits(url: URL) -> dict[str, int]:
    return {name: value for name, value in TCP_LIMITS.items() if name not in url.query}


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


class DatabaseFileGone(Exception):
    """The file of an SQLite database was moved or removed while it was in use."""


def _watch_file(engine: Engine, file: Path) -> None:
    """Refuse connections once the file is gone: SQLite would write to the removed one, or make an empty one."""
    opened: list[tuple[int, int]] = []

    def check_before_opening(*_: object) -> None:
        if not opened:  # the first connection makes a new database
            with suppress(OSError):  # SQLite says so itself, and `check_file` in better words
                file.parent.mkdir(parents=True, exist_ok=True)
        elif _identity(file) is None:
            raise DatabaseFileGone(_GONE.format(file=file))

    def note(_connection: object, record: Any) -> None:
        if (found := _identity(file)) is not None:
            record.info[_watch_file] = found
            opened[:] = [found]

    def check(_connection: object, record: Any, _proxy: object) -> None:
        found = _identity(file)
        if found is None:
            raise DatabaseFileGone(_GONE.format(file=file))
        if record.info.get(_watch_file) != found:  # another file is there now, such as a restored backup
            raise InvalidatePoolError

    event.listen(engine, "do_connect", check_before_opening)
    event.listen(engine, "connect", note)
    event.listen(engine, "checkout", check)


_GONE = "{file} was removed while it was in use. Put it back, or restart to begin with an empty database."


def _identity(file: Path) -> tuple[int, int] | None:
    """Which file this is; None when there is none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
