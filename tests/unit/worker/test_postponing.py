"""Postponing: only the commands that need what another transaction holds wait for it, on PostgreSQL."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text
from support.example_service import create_tables, words_in

from bus.contract.operations import Command, Reply
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.service.handler import Handler
from bus.service.work import Work
from bus.testing.servers.postgres import PostgresServer
from bus.worker.execution import SHORT_LOCK_SECONDS, Executor, Postponed


class Changed(Reply):
    """It was changed."""

    word: str


class Change(Command[Changed], name="example.change"):
    """Change a word."""

    word: str


def _change(command: Change, work: Work) -> Changed:
    statement = text("UPDATE words SET word = word || '!' WHERE word = :word")
    work.connection.execute(statement, {"word": command.word})
    return Changed(word=command.word)


@pytest.fixture
def words(postgres: PostgresServer) -> Iterator[Database]:
    database = Database(postgres.fresh_database(), lock_seconds=0.2)
    migrate(database, "catalog.migrations")
    create_tables(database)
    with database.transaction() as transaction:
        transaction.connection.execute(text("INSERT INTO words (word) VALUES ('free'), ('held'), ('last')"))
    yield database
    database.close()


@pytest.fixture
def executor(words: Database) -> Executor:
    return Executor({"example.change": Handler("example", Change, _change)}, words)


@pytest.fixture
def operator(words: Database) -> Iterator[psycopg.Connection]:
    url = words._engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url) as connection:
        connection.execute("SELECT * FROM words WHERE word = 'held' FOR UPDATE")
        yield connection


def _calls(*names: str) -> list[Call]:
    return [Call(Change, Change(word=name), f"id-{name}") for name in names]


@pytest.mark.parametrize("lock_seconds", [None, SHORT_LOCK_SECONDS])
def test_only_who_needs_a_held_row_is_postponed(
    words: Database, executor: Executor, operator: psycopg.Connection, lock_seconds: float | None
) -> None:
    replies = executor.execute(_calls("free", "held", "last"), lock_seconds)
    assert [type(reply) for reply in replies] == [EncodedReply, Postponed, EncodedReply]
    assert sorted(words_in(words)) == ["free!", "held", "last!"]
    operator.rollback()
    again = executor.execute(_calls("free", "held", "last"))
    assert [type(reply) for reply in again] == [EncodedReply] * 3
    assert sorted(words_in(words)) == ["free!", "held!", "last!"]


def test_a_held_table_postpones_all_and_loses_none(
    words: Database, executor: Executor, operator: psycopg.Connection
) -> None:
    operator.execute("LOCK TABLE words IN EXCLUSIVE MODE")
    assert all(isinstance(reply, Postponed) for reply in executor.execute(_calls("free", "last")))
    operator.rollback()
    assert all(isinstance(reply, EncodedReply) for reply in executor.execute(_calls("free", "last")))
    assert sorted(words_in(words)) == ["free!", "held", "last!"]
