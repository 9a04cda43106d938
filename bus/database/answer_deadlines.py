"""Answer deadlines: a server that no longer answers is given up, whatever the network says of the connection.

The server's own time-outs do not help when it is the server, or something between, that stands still; and the kernel's
do not as long as somebody acknowledges the packets. psycopg waits for ever, so another thread ends the connection.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine, event

# Between two looks at the clock.
LOOK_SECONDS = 1.0


class AnswerDeadlines:
    """The connections of one PostgreSQL that wait for an answer, and until when (time.monotonic())."""

    def __init__(self) -> None:
        self._until: dict[Any, float] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def watch_statements(self, engine: Engine, seconds: float) -> None:
        """From now on, each statement of this engine is answered within `seconds`, or its connection is ended."""
        self._thread = threading.Thread(target=self._watch, name="answer-deadlines", daemon=True)
        self._thread.start()

        @event.listens_for(engine, "before_cursor_execute")
        def begin(_connection: Connection, cursor: Any, *_: object) -> None:
            self._until[cursor.connection] = time.monotonic() + seconds

        @event.listens_for(engine, "after_cursor_execute")
        def end(_connection: Connection, cursor: Any, *_: object) -> None:
            self._until.pop(cursor.connection, None)

        @event.listens_for(engine, "handle_error")
        def fail(context: Any) -> None:
            if context.execution_context is not None and context.execution_context.cursor is not None:
                self._until.pop(context.execution_context.cursor.connection, None)

    @contextmanager
    def within(self, seconds: float, connection: Any) -> Iterator[None]:
        """The block is answered within `seconds`, or the connection (SQLAlchemy's or psycopg's) is ended."""
        if self._thread is None or (driver := _driver_connection(connection)) is None:
            yield
            return
        self._until[driver] = time.monotonic() + seconds
        try:
            yield
        finally:
            self._until.pop(driver, None)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def _watch(self) -> None:
        import structlog  # not above: a command that reads a table and ends needs none

        log = structlog.get_logger("bus.database")
        while not self._closed.wait(LOOK_SECONDS):
            now = time.monotonic()
            for connection in [each for each, until in list(self._until.items()) if until < now]:
                self._until.pop(connection, None)
                log.warning("database_silent")
                try:
                    _end(connection)
                except Exception:  # without this thread, the next one would be waited for without end
                    log.exception("connection_not_ended")


def _driver_connection(connection: Any) -> Any:
    """psycopg's connection; None for one that is closed already."""
    if not isinstance(connection, Connection):
        return connection
    return None if connection.closed or connection.invalidated else connection.connection.driver_connection


def _end(connection: Any) -> None:
    """Wake the thread that waits for an answer: it finds that the connection is closed."""
    import psycopg  # loaded long since; a program with SQLite alone never loads it

    with (
        suppress(psycopg.Error, OSError),  # it was closed in the meantime
        socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM) as copy,
    ):
        copy.shutdown(socket.SHUT_RDWR)
