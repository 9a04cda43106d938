"""Executing batches: a duplicate, a refusal or an error costs its neighbours little. On both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, insert, select
from support.example_service import Broken, Keep, Kept, WordRefused, call, create_tables, make_service, word, words_in

from bus.database.engine import Database
from bus.messaging.replies import EncodedReply
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.databases import migrated
from bus.worker import execution
from bus.worker.execution import Executor
from bus.worker.handler_runs import HandlerFailed

BATCH = [f"w{number}" for number in range(10)]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Both kinds of database in turn."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/a.db" if is_sqlite else request.getfixturevalue("database_url")
    database = migrated(url, "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def commits(database: Database) -> list[None]:
    """Grows with each commit of a transaction; reads are none."""
    seen: list[None] = []

    def note(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            seen.append(None)

    event.listen(database._engine, "commit", note)
    return seen


class Calls:
    """A service whose handler notes the words it is called with, and what it does before it refuses or fails."""

    def __init__(self, *, refuses_after: str = "nothing") -> None:
        self.service, self.words = Service("example"), list[str]()

        @self.service.handles(Keep)
        def keep(command: Keep, work: Work) -> Kept:
            self.words.append(command.word)
            if command.word.startswith("refuse") and refuses_after == "reading":
                work.connection.execute(select(word)).all()
            elif command.word.startswith("refuse") and refuses_after == "changing no row":
                work.connection.execute(word.update().where(word.c.word == "no such word").values(word="changed"))
            elif not command.word.startswith("refuse") or refuses_after == "writing":
                work.connection.execute(insert(word).values(word=command.word))
            if command.word.startswith("refuse"):
                raise WordRefused
            if command.word.startswith("break"):
                raise Broken("as asked")
            return Kept(id=1, word=command.word)


def _statuses(replies: list[EncodedReply | HandlerFailed]) -> list[int]:
    return [reply.status if isinstance(reply, EncodedReply) else 500 for reply in replies]


def test_a_duplicate_leaves_its_neighbours_one_transaction(database: Database, commits: list[None]) -> None:
    executor = Executor(make_service().handlers, database)
    (first,) = executor.execute([call("w3", "w3")])
    commits.clear()
    replies = executor.execute([call(text, text) for text in BATCH])
    assert (_statuses(replies), replies[3], len(commits)) == ([201] * 10, first, 1)
    assert sorted(words_in(database)) == BATCH


def test_after_a_duplicate_the_next_batch_is_looked_up_before_it_begins(database: Database) -> None:
    calls = Calls()
    executor = Executor(calls.service.handlers, database)
    for _ in range(2):
        executor.execute([call("a", "1")])
    calls.words.clear()
    assert _statuses(executor.execute([call("b", "2"), call("a", "1"), call("c", "3")])) == [201] * 3
    assert calls.words == ["b", "c"]


def test_a_duplicate_within_a_batch_leaves_it_one_transaction(database: Database, commits: list[None]) -> None:
    calls = Calls()
    replies = Executor(calls.service.handlers, database).execute([call(text, text) for text in "abacab"])
    assert (_statuses(replies), calls.words, len(commits)) == ([201] * 6, ["a", "b", "c"], 1)
    assert (replies[0], replies[1]) == (replies[2], replies[5])


def test_without_a_duplicate_nothing_is_looked_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "look_up_all", None)
    executor = Executor(make_service().handlers, database)
    for number in range(3):
        assert _statuses(executor.execute([call(text, f"{number}{text}") for text in BATCH])) == [201] * 10


@pytest.mark.parametrize("after", ["nothing", "reading", "changing no row"])
def test_a_refusal_that_left_nothing_behind_undoes_nothing(database: Database, commits: list[None], after: str) -> None:
    calls = Calls(refuses_after=after)
    asked = ["refuse 1", *BATCH, "refuse 2"]
    replies = Executor(calls.service.handlers, database).execute([call(text, text) for text in asked])
    assert (_statuses(replies), calls.words, len(commits)) == ([409, *[201] * 10, 409], asked, 1)
    assert words_in(database) == BATCH


def test_a_refusal_after_a_write_undoes_its_own_call_alone(database: Database, commits: list[None]) -> None:
    calls = Calls(refuses_after="writing")
    executor = Executor(calls.service.handlers, database)
    asked = [*BATCH, "refuse 1", "last"]
    for number in range(2):  # the first shows that it happens, so the second begins with savepoints
        calls.words.clear()
        commits.clear()
        replies = executor.execute([call(text, f"{number}{text}") for text in asked])
        assert (_statuses(replies), len(commits)) == ([*[201] * 10, 409, 201], 1)
    assert calls.words == asked
    assert words_in(database) == [*BATCH, "last"] * 2


def test_a_failing_call_is_tried_in_its_place_and_divides_its_batch_in_two(
    database: Database, commits: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LONGEST_PAUSE_SECONDS", 0)
    calls = Calls()
    replies = Executor(calls.service.handlers, database).execute(
        [call(text, text) for text in ("a", "b", "break", "c", "d")]
    )
    assert (_statuses(replies), len(commits)) == ([201, 201, 500, 201, 201], 2)
    assert words_in(database) == ["a", "b", "c", "d"]
    assert calls.words[-5:] == ["break"] * 3 + ["c", "d"]


def test_of_events_those_before_a_failing_one_are_done_together(
    database: Database, commits: list[None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "LONGEST_PAUSE_SECONDS", 0)
    replies = Executor(make_service().handlers, database).execute_in_order(
        [call(text, text) for text in ("a", "b", "break", "c")]
    )
    assert (_statuses(replies), len(commits)) == ([201, 201, 500], 1)
    assert words_in(database) == ["a", "b"]
