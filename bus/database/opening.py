"""Opening: engines for PostgreSQL and SQLite, and what is set on each new connection so that every wait has an end."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.engine import make_url

from bus.database.answer_deadlines import AnswerDeadlines
from bus.database.connecting import for_psycopg
from bus.database.trouble import READ_ONLY_STATE

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


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory, and for another kind."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def open_engine(url: str, connections: int, lock_seconds: float, deadlines: AnswerDeadlines | None) -> Engine:
    """An engine whose connections have these limits. Raises ValueError for a URL of another kind of database."""
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

    event.listen(engine, "do_connect", for_psycopg)
    deadlines.watch_statements(engine, ANSWER_SECONDS)
    return engine


def open_without_limits(url: URL) -> Engine:
    """An engine for PostgreSQL with a connection for each use, whose statements may last: each is a transaction."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=_tcp_limits(url))
    event.listen(engine, "do_connect", for_psycopg)

    @event.listens_for(engine, "connect")
    def lift_limits(connection: Any, _record: object) -> None:
        connection.execute(_NO_LIMITS)  # else those of the role, or of the server
        connection.commit()

    return engine


def _tcp_limits(url: URL) -> dict[str, int]:
    return {name: value for name, value in TCP_LIMITS.items() if name not in url.query}


def _open_sqlite(url: str) -> Engine:
    waiting = {"timeout": LOCK_SECONDS, "check_same_thread": False}
    engine = create_engine(url, hide_parameters=True, connect_args=waiting)

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin in `engine.py`
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine
