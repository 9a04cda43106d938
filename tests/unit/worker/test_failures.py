"""Failed tries are written down, for an operator to see. What goes well writes nothing, and trouble changes no try."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event, select
from structlog.testing import capture_logs
from support.example_service import Broken, Keep, KeepSecret, call, create_tables, make_service

from bus.contract.operator.requests import FailedAttempt
from bus.database.engine import Database
from bus.database.tables import failed_attempt
from bus.database.trouble import DatabaseUnavailable
from bus.dead_letters.envelope import MAX_DETAIL, MAX_TRACEBACK_BYTES
from bus.messaging.message import Delivery, Message
from bus.messaging.trace_context import begin
from bus.testing.databases import migrated
from bus.worker import failures
from bus.worker.execution import Executor
from bus.worker.failures import FailureRecord
from bus.worker.handler_runs import HandlerFailed
from bus.worker.request_history import attempts_with

HOSTILE = "a\x00b\ud800c\x1b[31m<b>" + "\U0001f600" * MAX_TRACEBACK_BYTES


@pytest.fixture(params=["sqlite", "postgresql"])
def words(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = migrated(url, "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


def _delivery(message_id: str | None = "order-1") -> Delivery:
    message = Message(queue="example.keep", body=b"{}", message_id=message_id)
    return Delivery(message=message, tag=1, session=1, deaths=0, received_at=0.0, trace=begin())


def _stored(database: Database) -> Sequence[FailedAttempt]:
    with database.reading() as transaction:
        return attempts_with(transaction.connection, failed_attempt.c.id > 0)


def _failure(text: str, operation: Any = Keep) -> HandlerFailed:
    try:
        raise Broken(text)
    except Broken as error:
        return HandlerFailed(error, operation)


def test_a_try_is_written_down_whatever_its_error_says(words: Database) -> None:
    record, delivery = FailureRecord("example", words), _delivery()
    record.add(delivery, _failure("as asked"), "example.keep", "17", 1, 5)
    record.add(delivery, _failure(HOSTILE), "example.keep", "17", 2, None)
    record.add(_delivery(None), _failure("x"), "example.keep", "anonymous", 1, None)
    first, second, third = _stored(words)
    assert (first.message_id, first.caller, first.operation, first.number) == ("order-1", "17", "example.keep", 1)
    assert (first.error_class, first.detail, first.retry_seconds) == ("Broken", "as asked", 5)
    assert first.trace_id == second.trace_id == delivery.trace.trace_id != third.trace_id
    assert "test_failures.py" in first.traceback
    assert "(process " in first.worker
    assert first.failed_at <= second.failed_at
    assert second.detail.startswith("a\ufffdb\ufffdc\ufffd[31m<b>")
    assert (len(second.detail), second.retry_seconds) == (MAX_DETAIL, None)
    assert len(second.traceback) <= MAX_TRACEBACK_BYTES
    assert third.message_id is None


def test_of_an_operation_with_secrets_no_text_is_kept(database: Database) -> None:
    FailureRecord("example", database).add(
        _delivery(), _failure("hunter22", KeepSecret), "example.keep_secret", "a", 1, 5
    )
    (found,) = _stored(database)
    assert "hunter22" not in repr(found)
    assert found.error_class == "Broken"


def test_while_the_database_is_away_the_message_goes_its_way(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnavailable("as asked")

    record = FailureRecord("example", database)
    with monkeypatch.context() as patch:
        patch.setattr(database, "transaction", away)
        record.add(_delivery(), _failure("x"), "example.keep", "a", 1, 5)
    record.add(_delivery(), _failure("x"), "example.keep", "a", 2, 5)  # so soon it is not tried again
    assert _stored(database) == []
    monkeypatch.setattr(record, "_silent_until", 0.0)
    record.add(_delivery(), _failure("x"), "example.keep", "a", 3, 5)
    assert [each.number for each in _stored(database)] == [3]


def test_a_table_that_is_missing_changes_nothing_for_the_message(words: Database) -> None:
    with words.transaction() as transaction:
        transaction.connection.exec_driver_sql("DROP TABLE failed_attempts")
    record = FailureRecord("example", words)
    with capture_logs() as logs:
        for number in (1, 2):
            record.add(_delivery(), _failure("x"), "example.keep", "a", number, 5)
    assert [(each["event"], each["reason"]) for each in logs] == [
        ("failure_not_stored", "OperationalError" if words.kind == "sqlite" else "UndefinedTable")
    ]


def test_a_message_does_not_wait_for_a_lock_that_another_holds(database_url: str) -> None:
    database = migrated(database_url, "catalog.migrations")
    record = FailureRecord("example", database)
    with database.transaction() as transaction, capture_logs() as logs:
        transaction.connection.exec_driver_sql("LOCK TABLE failed_attempts")
        record.add(_delivery(), _failure("x"), "example.keep", "a", 1, 5)  # or it would wait for ever
    database.close()
    assert [each["event"] for each in logs] == ["failure_not_stored"]


def test_no_more_than_so_many_a_second_are_written_for_each_operation(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "MOST_A_SECOND", 3)
    seconds = iter([7.0] * 6 + [8.1])
    monkeypatch.setattr(failures, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    record = FailureRecord("example", database)
    for number in range(5):
        record.add(_delivery(), _failure("x"), "example.keep", "a", number, 5)
    record.add(_delivery(), _failure("x"), "example.count", "a", 5, 5)
    record.add(_delivery(), _failure("x"), "example.keep", "a", 6, 5)
    assert [each.number for each in _stored(database)] == [0, 1, 2, 5, 6]


def test_a_success_executes_no_statement_for_it(database: Database) -> None:
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        Executor(make_service().handlers, database).execute([call("fine", "1"), call("good", "2")])
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert any("inbox" in statement for statement in statements)
    assert not any("failed_attempts" in statement for statement in statements)
    with database.reading() as transaction:
        assert not transaction.connection.execute(select(failed_attempt)).all()
