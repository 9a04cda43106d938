"""Trouble: what each error of both databases means for the message that met it.

The lines of the table "When the database is in trouble" in docs/operating.md, each caused for real.
"""

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from support.example_service import create_tables, words_in

from bus.database import answer_deadlines, engine, opening
from bus.database.engine import Database
from bus.database.trouble import DatabaseBusy, DatabaseUnavailable, trouble_of
from bus.testing.servers.postgres import PostgresServer
from bus.testing.waiting import wait_until

WAIT_SECONDS = 60.0
INSERT = "INSERT INTO words (word) VALUES ('x')"


def _run(database: Database, *statements: str, lock_seconds: float | None = None) -> None:
    """In one transaction."""
    with database.transaction(lock_seconds) as transaction:
        for statement in statements:
            transaction.connection.execute(text(statement))


def _write(database: Database, value: str = "x") -> None:
    _run(database, f"INSERT INTO words (word) VALUES ('{value}')")


@pytest.fixture
def server_database(postgres: PostgresServer) -> Iterator[Database]:
    database = Database(postgres.fresh_database(), lock_seconds=0.5)
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def plain(server_database: Database) -> Iterator[psycopg.Connection]:
    """An operator's psql."""
    url = server_database._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        yield connection


class TestSqlite:
    """One file, one lock for all writers: nobody can write, so commands wait, and reads go on."""

    def test_a_write_lock_that_another_program_holds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(opening, "LOCK_SECONDS", 0.1)
        database = Database(f"sqlite:///{tmp_path}/locked.db")
        create_tables(database)
        other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable, match="another program holds its lock"):
            _write(database)
        assert words_in(database) == []
        other.close()
        _write(database)
        database.close()

    def test_a_disk_that_is_full(self, database: Database) -> None:
        with database.reading() as transaction:
            pages = transaction.connection.execute(text("PRAGMA page_count")).scalar_one()
        with pytest.raises(DatabaseUnavailable, match="its disk is full"):
            _run(database, f"PRAGMA max_page_count = {pages}", "INSERT INTO words (word) VALUES (zeroblob(1000000))")
        assert words_in(database) == []

    def test_a_database_that_is_read_only(self, database: Database) -> None:
        with pytest.raises(DatabaseUnavailable, match="it is read-only"):
            _run(database, "PRAGMA query_only = ON", INSERT)

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "other.db").write_bytes(b"not a database" * 1000)
        with pytest.raises(DatabaseUnavailable, match="cannot read or write its files"):
            words_in(Database(f"sqlite:///{tmp_path}/other.db"))

    def test_a_wrong_statement_is_the_messages_own_fault(self, database: Database) -> None:
        with pytest.raises(DBAPIError, match="no such table"):
            _run(database, "SELECT * FROM nowhere")


class TestPostgres:
    """Many rows, many locks: who meets one waits alone."""

    def test_a_row_that_another_transaction_holds(self, server_database: Database, plain: psycopg.Connection) -> None:
        _write(server_database, "held")
        plain.execute("SELECT * FROM words FOR UPDATE")
        with pytest.raises(DatabaseBusy) as busy:
            _run(server_database, "UPDATE words SET word = 'y'", lock_seconds=0.1)
        assert not busy.value.is_conflict
        _write(server_database, "another")
        assert words_in(server_database) == ["held", "another"]

    def test_a_table_that_another_transaction_holds(self, server_database: Database, plain: psycopg.Connection) -> None:
        plain.execute("LOCK TABLE words IN EXCLUSIVE MODE")
        with pytest.raises(DatabaseBusy, match="Another transaction holds"):
            _write(server_database)
        assert words_in(server_database) == []

    def test_the_shorter_wait_for_a_lock_is_for_its_transaction_alone(self, server_database: Database) -> None:
        for given, expected in ((0.123, "123ms"), (None, "500ms")):
            with server_database.transaction(given) as transaction:
                assert transaction.connection.execute(text("SHOW lock_timeout")).scalar_one() == expected

    def test_a_deadlock_that_the_server_has_broken(self, server_database: Database) -> None:
        _write(server_database, "a")
        _write(server_database, "b")
        meet, given_way = threading.Barrier(2), []

        def update(first: str, second: str) -> None:
            try:
                with server_database.transaction(WAIT_SECONDS) as transaction:
                    for each in (first, second):
                        transaction.connection.execute(text(f"UPDATE words SET word = word WHERE word = '{each}'"))
                        if each == first:
                            meet.wait(WAIT_SECONDS)
            except DatabaseBusy as busy:
                given_way.append(busy.is_conflict)

        other = threading.Thread(target=update, args=("b", "a"))
        other.start()
        update("a", "b")
        other.join(WAIT_SECONDS)
        assert given_way == [True]

    def test_a_server_that_takes_no_writes(self, server_database: Database) -> None:
        with pytest.raises(DatabaseUnavailable, match="it is read-only"):
            _run(server_database, "SET TRANSACTION READ ONLY", INSERT)
        assert words_in(server_database) == []

    def test_after_a_write_was_refused_there_the_server_is_sought_again(self, server_database: Database) -> None:
        """The connection leads to what was the primary, and a new one to what is it now."""
        _run(server_database, "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(DatabaseUnavailable, match="it is read-only"):
            _write(server_database)
        _write(server_database, "at the new primary")
        assert words_in(server_database) == ["at the new primary"]

    def test_a_user_without_the_right(self, server_database: Database, plain: psycopg.Connection) -> None:
        role = f"reader_{plain.info.dbname}"
        plain.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        plain.commit()
        with pytest.raises(DatabaseUnavailable, match="refuses our user"):
            _run(server_database, f"SET LOCAL ROLE {role}", INSERT)

    def test_no_connections_left(self, server_database: Database, plain: psycopg.Connection) -> None:
        server_database._engine.dispose()
        plain.execute(sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 0").format(sql.Identifier(plain.info.dbname)))
        role = f"writer_{plain.info.dbname}"
        plain.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        plain.commit()
        limited = Database(server_database._engine.url.set(username=role).render_as_string(hide_password=False))
        with pytest.raises(DatabaseUnavailable), limited.reading() as transaction:
            transaction.connection.execute(select(1))
        limited.close()

    def test_a_transaction_whose_process_stood_still_is_rolled_back(self, server_database: Database) -> None:
        def stand_still() -> None:
            with server_database.transaction() as transaction:
                transaction.connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
                transaction.connection.execute(text(INSERT))
                time.sleep(1.0)
                transaction.connection.execute(text(INSERT))

        with pytest.raises(DatabaseUnavailable):
            stand_still()
        assert words_in(server_database) == []

    def test_a_statement_that_takes_too_long_is_the_messages_own_fault(self, server_database: Database) -> None:
        with pytest.raises(DBAPIError, match="statement timeout"):
            _run(server_database, "SET LOCAL statement_timeout = '50ms'", "SELECT pg_sleep(30)")

    @pytest.mark.parametrize("code", ["53100", "53200", "53300", "58030", "57P01", "08006", "28P01"])
    def test_errors_that_are_hard_to_cause_here(self, code: str) -> None:
        cause = psycopg.errors.lookup(code)("told by the server")
        found = trouble_of(DBAPIError("INSERT", {}, cause))
        assert type(found) is DatabaseUnavailable
        assert found.sentence not in ("", str(found))

    @pytest.mark.parametrize("code", ["22P05", "22021", "23505", "22003", "42703", "57014"])
    def test_errors_that_are_the_messages_own_fault(self, code: str) -> None:
        cause = psycopg.errors.lookup(code)("told by the server")
        assert trouble_of(DBAPIError("INSERT", {}, cause)) is None

    @pytest.mark.parametrize("swallowed", ["statement", "commit"])
    def test_a_server_that_falls_silent_is_given_up(
        self, server_database: Database, monkeypatch: pytest.MonkeyPatch, swallowed: str
    ) -> None:
        """Somebody acknowledges what we send, and nobody answers."""
        monkeypatch.setattr(engine, "COMMIT_SECONDS", 0.5)
        monkeypatch.setattr(opening, "ANSWER_SECONDS", 0.5)
        monkeypatch.setattr(answer_deadlines, "LOOK_SECONDS", 0.1)
        given = server_database._engine.url
        with _Link(str(given.host), int(given.port or 0)) as link:
            url = given.set(host="127.0.0.1", port=link.port)
            database = Database(url.render_as_string(hide_password=False))
            assert words_in(database) == []

            def write() -> None:
                with database.transaction() as transaction:
                    link.is_silent = swallowed == "statement"
                    transaction.connection.execute(text(INSERT))
                    link.is_silent = True

            with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
                write()
            link.is_silent = False
            wait_until(database.answers, WAIT_SECONDS, "a new connection is made")
            database.close()

    def test_connections_are_watched_by_the_kernel_too(self, server_database: Database) -> None:
        with server_database.reading() as transaction:
            driver = transaction.connection.connection.driver_connection
            assert driver is not None
            copy = socket.socket(fileno=socket.fromfd(driver.fileno(), socket.AF_INET, socket.SOCK_STREAM).detach())
            with copy:
                assert copy.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                assert copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == engine.COMMIT_SECONDS * 1000


class _Link:
    """A port that leads to another. While it `is_silent` it takes everything and passes on nothing."""

    def __init__(self, host: str, port: int) -> None:
        self.is_silent = False
        self._to = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._ends: list[socket.socket] = []

    def __enter__(self) -> "_Link":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for end in (self._listener, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                self._ends += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.is_silent:
                    sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
