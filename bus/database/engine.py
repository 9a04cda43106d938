"""Databases: their transactions, and what is done for each: PostgreSQL and SQLite behave alike.

How connections are opened is in `opening.py`; what an error of a database means is decided in `trouble.py`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError

from bus.columns import ciphers
from bus.contract.builtin import Send
from bus.contract.events import Event
from bus.database.answer_deadlines import AnswerDeadlines
from bus.database.encryption import DatabaseKeys
from bus.database.opening import COMMIT_SECONDS, LOCK_SECONDS, open_engine, open_without_limits, sqlite_file
from bus.database.trouble import DatabaseUnavailable, trouble_of
from bus.messaging.trace_context import Trace


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
        self._engine = open_engine(url, connections, lock_seconds, self._deadlines)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        ciphers[self._engine.dialect] = self.keys
        if self._deadlines is None:
            _lock_at_begin(self._engine)
        if self.file is not None:
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
        try:
            with open_without_limits(self._engine.url).connect() as connection:
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


def _lock_at_begin(engine: Engine) -> None:
    """Take SQLite's write lock first, which waits for it; upgrading a read lock later could only fail."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")


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
