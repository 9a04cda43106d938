"""Carrying out: every effect once, whatever comes twice, fails, or is refused."""

import json
import threading
from asyncio import CancelledError
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import delete, insert, select
from support.example_service import (
    Broken,
    Count,
    Counted,
    Keep,
    KeepAll,
    KeepSecret,
    Kept,
    WordRefused,
    call,
    make_service,
    word,
    words_in,
)

from bus.contract.events import Event
from bus.contract.exits import Exited
from bus.contract.fields import Secret
from bus.contract.identity import ANONYMOUS, Caller
from bus.contract.operations import Command, Reply
from bus.contract.redaction import TEXT_DROPPED
from bus.contract.refusals import Refusal
from bus.database.engine import Database
from bus.database.tables import inbox
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.service.service import Service
from bus.service.work import Work
from bus.worker import execution
from bus.worker.execution import Executor
from bus.worker.handler_runs import HandlerFailed, answer_queries

# A port that nothing listens on.
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LONGEST_PAUSE_SECONDS", 0)


def execute(calls: Sequence[Call], service: Service, database: Database) -> list[EncodedReply | HandlerFailed]:
    """As a worker of this service does."""
    return Executor(service.handlers, database).execute(calls)


@pytest.fixture
def service() -> Service:
    return make_service()


def _done(answer: EncodedReply | HandlerFailed) -> tuple[int, dict[str, Any]]:
    assert isinstance(answer, EncodedReply), answer
    return answer.status, json.loads(answer.body)


def _statuses(answers: list[EncodedReply | HandlerFailed]) -> list[int]:
    return [answer.status if isinstance(answer, EncodedReply) else 500 for answer in answers]


@pytest.mark.parametrize("operation", [Keep, KeepAll])
def test_a_batch_is_carried_out_and_answered_in_order(service: Service, database: Database, operation: Any) -> None:
    answers = execute([call(text, text, operation) for text in "abc"], service, database)
    assert [_done(answer) for answer in answers] == [(201, {"id": n, "word": w}) for n, w in enumerate("abc", 1)]
    assert answers[2].location == "/words/3"  # type: ignore[union-attr]
    assert words_in(database) == ["a", "b", "c"]


def test_nothing_to_do_is_done(service: Service, database: Database) -> None:
    assert execute([], service, database) == []


def test_a_redelivered_command_is_answered_from_the_inbox(service: Service, database: Database) -> None:
    first = execute([call("a", "1")], service, database)
    again = execute([call("a", "1")], service, database)
    assert again == first
    assert words_in(database) == ["a"]


def test_a_command_without_an_id_is_carried_out_each_time(service: Service, database: Database) -> None:
    execute([call("a")], service, database)
    execute([call("a"), call("a")], service, database)
    assert words_in(database) == ["a", "a", "a"]


@pytest.mark.parametrize("operation", [Keep, KeepAll])
def test_the_same_id_twice_in_one_batch_is_done_once(service: Service, database: Database, operation: Any) -> None:
    calls = [call(text, text, operation) for text in "abacb"]
    answers = execute(calls, service, database)
    assert sorted(words_in(database)) == ["a", "b", "c"]
    assert answers[0] == answers[2]
    assert answers[1] == answers[4]


def test_new_neighbours_of_a_redelivered_command_are_done_once(service: Service, database: Database) -> None:
    execute([call("b", "2")], service, database)
    answers = execute([call("a", "1"), call("b", "2"), call("c", "3"), call("d")], service, database)
    assert _statuses(answers) == [201] * 4
    assert sorted(words_in(database)) == ["a", "b", "c", "d"]


def test_an_id_used_for_another_request_is_refused(service: Service, database: Database) -> None:
    execute([call("a", "1")], service, database)
    status, problem = _done(*execute([call("b", "1")], service, database))
    assert (status, problem["code"]) == (422, "idempotency-key-reuse")
    assert words_in(database) == ["a"]


def test_an_id_used_for_another_request_in_the_same_batch_is_refused(service: Service, database: Database) -> None:
    assert _statuses(execute([call("a", "1"), call("b", "1")], service, database)) == [201, 422]
    assert words_in(database) == ["a"]


def test_an_id_used_for_another_operation_is_refused(service: Service, database: Database) -> None:
    execute([call("a", "1")], service, database)
    assert _statuses(execute([call("a", "1", KeepAll)], service, database)) == [422]
    assert words_in(database) == ["a"]


def test_two_callers_may_use_the_same_id(service: Service, database: Database) -> None:
    ann, bob = (Call(Keep, Keep(word=name), "1", caller=Caller(id=name)) for name in ("ann", "bob"))
    assert _statuses(execute([ann, bob], service, database)) == [201, 201]
    assert words_in(database) == ["ann", "bob"]


def test_a_refusal_undoes_what_its_handler_wrote(service: Service, database: Database) -> None:
    status, problem = _done(*execute([call("refuse", "1")], service, database))
    assert (status, problem["code"]) == (409, "example.word_refused")
    assert words_in(database) == []


class RefusedAndCounted(Refusal, code="example.counted", status=409, keeps_changes=True):
    """This is refused, and counted."""


@pytest.mark.parametrize("neighbours", [(), ("before", "after")])
def test_a_refusal_that_keeps_changes_commits_what_its_handler_wrote(
    database: Database, neighbours: Sequence[str]
) -> None:
    service = Service("example")

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        work.connection.execute(insert(word).values(word=command.word))
        if command.word == "count":
            raise RefusedAndCounted(retry_after=7)
        return Kept(id=1, word=command.word)

    given = [*neighbours[:1], "count", *neighbours[1:]]
    answers = execute([call(text, text) for text in given], service, database)
    status, problem = _done(answers[given.index("count")])
    assert (status, problem["code"], problem["retry_after"]) == (409, "example.counted", 7)
    assert words_in(database) == given
    assert _done(*execute([call("count", "count")], service, database)) == (status, problem)


class Throttled(Refusal, code="example.throttled", status=429):
    """Not now."""


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("neighbours", [(), ("before", "after")])
def test_a_throttled_command_may_be_sent_again_with_its_id(
    database: Database, neighbours: Sequence[str], threads: int
) -> None:
    service, throttled = Service("example"), ["a"]

    @service.handles(Keep, threads=threads)
    def keep(command: Keep, work: Work) -> Kept:
        work.connection.execute(insert(word).values(word=command.word))
        if command.word in throttled:
            raise Throttled(retry_after=7)
        return Kept(id=1, word=command.word)

    given = [*neighbours[:1], "a", *neighbours[1:]]
    calls = [call(text, text) for text in given]
    for _ in range(2):
        status, problem = _done(execute(calls, service, database)[given.index("a")])
        assert (status, problem["code"], problem["retry_after"]) == (429, "example.throttled", 7)
    assert _statuses(execute([call("b", "a")], service, database)) == [422]
    throttled.clear()
    # Delivered again by the broker, it was not sent again.
    came_back = structs.replace(call("a", "a"), came_back=True)
    assert _statuses(execute([came_back], service, database)) == [429]
    for _ in range(2):
        assert _statuses(execute(calls, service, database)) == [201] * len(given)
    assert sorted(words_in(database)) == sorted(given)


def test_a_handler_reads_beside_its_transaction(database: Database) -> None:
    service = Service("example")

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        with work.reading() as connection:
            known = len(connection.execute(select(word.c.word)).all())
        assert not work._transaction.opened
        work.connection.execute(insert(word).values(word=command.word))
        return Kept(id=known, word=command.word)

    answers = [_done(*execute([call(text)], service, database)) for text in "ab"]
    assert [body["id"] for _, body in answers] == [0, 1]


@pytest.mark.parametrize("operation", [Keep, KeepAll])
def test_a_refusal_is_remembered(service: Service, database: Database, operation: Any) -> None:
    first = execute([call("refuse", "1", operation)], service, database)
    assert execute([call("refuse", "1", operation)], service, database) == first
    assert _statuses(execute([call("other", "1", operation)], service, database)) == [422]


def test_a_refused_command_without_an_id_is_answered_too(service: Service, database: Database) -> None:
    assert _statuses(execute([call("refuse")], service, database)) == [409]


@pytest.mark.parametrize("operation", [Keep, KeepAll])
@pytest.mark.parametrize(("bad", "status"), [("refuse", 409), ("break", 500)])
def test_one_bad_command_takes_no_neighbour_with_it(
    service: Service, database: Database, operation: Any, bad: str, status: int
) -> None:
    answers = execute([call(text, text, operation) for text in ("a", bad, "b")], service, database)
    assert _statuses(answers) == [201, status, 201]
    assert words_in(database) == ["a", "b"]


@pytest.mark.parametrize("raised", [Broken, SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError])
def test_a_handler_that_fails_is_tried_a_few_times_and_given_up(database: Database, raised: type) -> None:
    """Whatever it raises: what would end the thread is its fault, as any error."""
    service, tries = Service("example"), []

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        tries.append(command)
        raise raised("always")

    (gave_up,) = execute([call("a", "1")], service, database)
    assert isinstance(gave_up, HandlerFailed)
    assert raised.__name__ in gave_up.traceback
    assert isinstance(gave_up.__cause__, Broken if raised is Broken else Exited)
    assert len(tries) == 1 + execution.QUICK_TRIES  # in the batch, then alone


def test_a_command_given_up_may_be_sent_again(service: Service, database: Database) -> None:
    assert _statuses(execute([call("break", "1")], service, database)) == [500]
    assert _statuses(execute([call("mended", "1")], service, database)) == [201]
    assert words_in(database) == ["mended"]


def test_a_handler_that_fails_once_is_tried_again(database: Database) -> None:
    service, tries = Service("example"), []

    @service.handles(Keep, threads=2)
    def keep(command: Keep, work: Work) -> Kept:
        tries.append(command)
        work.connection.execute(word.insert().values(word=command.word))
        if len(tries) == 1:
            raise Broken("the first time")
        return Kept(id=len(tries), word=command.word)

    assert _done(*execute([call("a", "1")], service, database)) == (201, {"id": 2, "word": "a"})
    assert words_in(database) == ["a"]


def test_a_worker_that_dies_after_the_commit_leaves_the_reply_to_the_next(service: Service, database: Database) -> None:
    """Whoever gets the message after the death has the same call in hand, and a process of its own."""
    first = execute([call("a", "1"), call("b", "2")], service, database)
    again = execute([call("a", "1"), call("b", "2")], make_service(), Database(_url_of(database)))
    assert again == first
    assert words_in(database) == ["a", "b"]


def test_a_worker_that_dies_before_the_commit_leaves_nothing(
    service: Service, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """As a signal would come, after the handler."""

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(execution, "record", die)
    with pytest.raises(Killed):
        execute([call("a", "1")], service, database)
    monkeypatch.undo()
    assert words_in(database) == []
    assert _statuses(execute([call("a", "1")], service, database)) == [201]


@pytest.mark.parametrize("threads", [0, 4])
def test_fifty_threads_with_the_same_id_at_the_same_moment_have_one_effect(database: Database, threads: int) -> None:
    service, gate = make_service(threads=threads), threading.Barrier(50)

    def send(_: int) -> EncodedReply | HandlerFailed:
        gate.wait(30)
        return execute([call("a", "1")], service, database)[0]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert words_in(database) == ["a"]
    assert set(answers) == {answers[0]}
    assert _done(answers[0]) == (201, {"id": 1, "word": "a"})


def test_a_database_that_is_away_is_no_answer(service: Service) -> None:
    away = Database(NOWHERE)
    with pytest.raises(DatabaseUnavailable):
        execute([call("a", "1")], service, away)
    with pytest.raises(DatabaseUnavailable):
        answer_queries([Call(Count, Count(word="a"), None)], service.handlers, away)


def test_queries_are_answered_each_for_itself(service: Service, database: Database) -> None:
    execute([call("a")], service, database)
    queries = [Call(Count, Count(word=text), None) for text in ("a", "refuse", "b", "break", "a")]
    answers = answer_queries(queries, service.handlers, database)
    assert _statuses(answers) == [200, 409, 200, 500, 200]
    assert [_done(answers[n])[1] for n in (0, 2, 4)] == [{"count": 1}, {"count": 0}, {"count": 1}]


def test_a_query_whose_handler_fails_is_given_up_at_once(service: Service, database: Database) -> None:
    (gave_up,) = answer_queries([Call(Count, Count(word="break"), None)], service.handlers, database)
    assert isinstance(gave_up, HandlerFailed)
    assert isinstance(gave_up.__cause__, Broken)


_calls = st.lists(
    st.builds(
        call,
        st.sampled_from(["a", "b", "refuse", "break"]),
        st.none() | st.sampled_from(["1", "2", "3"]),
        st.sampled_from([Keep, KeepAll]),
    ),
    max_size=8,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_calls, max_size=3), st.booleans())
def test_whatever_comes_in_whatever_batches_the_answers_tell_what_was_done(
    database: Database, batches: list[list[Call]], threads: bool
) -> None:
    _empty(database)
    service, kept = make_service(threads=2 if threads else 0), []
    first: dict[str, tuple[bytes, EncodedReply]] = {}
    for batch in batches:
        for each, answer in zip(batch, execute(batch, service, database), strict=True):
            known = first.get(each.message_id or "")
            if isinstance(answer, HandlerFailed):
                assert each.request.word == "break"  # type: ignore[attr-defined]
                assert known is None
            elif known is not None:
                assert answer == known[1] if each.digest == known[0] else answer.status == 422
            else:
                assert answer.status == (409 if each.request.word == "refuse" else 201)  # type: ignore[attr-defined]
                if answer.status == 201:
                    kept.append(each.request.word)  # type: ignore[attr-defined]
                if each.message_id:
                    first[each.message_id] = (each.digest, answer)
    assert Counter(words_in(database)) == Counter(kept)


def _empty(database: Database) -> None:
    with database.transaction() as transaction:
        for table in (word, inbox):
            transaction.connection.execute(delete(table))


def _url_of(database: Database) -> str:
    return str(database._engine.url)


def test_of_a_failing_handler_with_secrets_the_class_and_the_frames_are_kept(database: Database) -> None:
    service = Service("example")

    @service.handles(KeepSecret)
    def keep_secret(command: KeepSecret, work: Work) -> Kept:
        work.connection.execute(insert(word).values(id=1, word=command.password))
        raise Broken(f"no {command.password!r} today")

    request = Call(KeepSecret, KeepSecret(word="a", password="hunter22"), "1")
    (gave_up,) = execute([request], service, database)
    assert isinstance(gave_up, HandlerFailed)
    assert (gave_up.error_class, gave_up.message) == ("Broken", TEXT_DROPPED)
    assert "raise Broken(" in gave_up.traceback
    assert "hunter22" not in gave_up.traceback + str(gave_up) + repr(gave_up)


def test_a_refusal_that_repeats_a_secret_is_sent_and_stored_without_its_detail(database: Database) -> None:
    service = Service("example")

    @service.handles(KeepSecret)
    def keep_secret(command: KeepSecret, work: Work) -> Kept:
        raise WordRefused(f"{command.password} is not a word")

    request = Call(KeepSecret, KeepSecret(word="a", password="hunter22"), "1")
    for _ in range(2):  # from the handler, then from the inbox
        (answer,) = execute([request], service, database)
        assert _done(answer)[1]["detail"] == "This word is refused."


class Opened(Reply):
    token: Annotated[str, Secret()]


class Open(Command[Opened], name="example.open"):
    door: str


def test_a_duplicate_gets_the_answer_without_its_secrets(database: Database) -> None:
    service = Service("example")

    @service.handles(Open)
    def open_door(command: Open, work: Work) -> Opened:
        return Opened(token="hunter22")

    answers = [execute([Call(Open, Open(door="1"), "1")], service, database)[0] for _ in range(2)]
    assert [_done(answer) for answer in answers] == [(200, {"token": "hunter22"}), (200, {"token": "[secret]"})]


class Told(Event, name="example.told"):
    version: int
    token: Annotated[str, Secret()]


def test_an_event_with_a_secret_is_a_type_error_of_its_author(database: Database) -> None:
    with database.transaction() as transaction, pytest.raises(TypeError, match="has secret fields"):
        Work(transaction, ANONYMOUS, "example").emit(Told(version=1, token="hunter22"))


def test_a_handler_that_returns_something_else_is_an_error_of_its_author(database: Database) -> None:
    service = Service("example")

    @service.handles(Keep)
    def keep(command: Keep, work: Work) -> Kept:
        return Counted(count=1)  # type: ignore[return-value]

    (failed,) = execute([call("a")], service, database)
    assert isinstance(failed, HandlerFailed)
    assert failed.message == "keep returned Counted, not Kept"


def test_a_handler_of_many_that_forgets_one_is_an_error_of_its_author(database: Database) -> None:
    service = Service("example")

    @service.handles_many(KeepAll)
    def keep_all(commands: list[KeepAll], work: Work) -> Sequence[Kept | Refusal]:
        return [] if len(commands) == 1 else [Kept(id=1, word=commands[0].word)]

    for failed in execute([call("a", operation=KeepAll), call("b", operation=KeepAll)], service, database):
        assert isinstance(failed, HandlerFailed)
        assert failed.message == "keep_all gave 0 replies to 1 requests"
