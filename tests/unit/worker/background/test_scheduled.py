"""Scheduled tasks: one worker at a time runs a service's function, while there is something to do."""

import threading
from typing import Any

import pytest
from sqlalchemy import Select, delete, insert, select
from structlog.testing import capture_logs
from support.example_service import word, words_in

from bus.contract.events import Event
from bus.database.engine import Database
from bus.database.tables import lease, outbox
from bus.database.trouble import DatabaseBusy
from bus.messaging.call import longest_running
from bus.service.job import Job
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.waiting import wait_until
from bus.worker.background.scheduled import ScheduledTask

HOUR = 3600.0
WAIT_SECONDS = 30.0

todo = select(word.c.id).where(word.c.word == "todo").order_by(word.c.id)


class Finished(Event, name="example.finished"):
    id: int
    version: int


def _task(database: Database, service: Service, wakes: list[str] | None = None) -> ScheduledTask:
    (handler,) = service.periodic.values()
    return ScheduledTask(handler, database, lambda: (wakes if wakes is not None else []).append("woken"))


def _service(when: Select[Any] | None = todo, seconds: float = HOUR) -> Service:
    service = Service("example")

    @service.every(seconds, when=when)
    def finish(work: Work) -> None:
        """Finish one, and say so."""
        if (first := work.connection.execute(todo.limit(1)).scalar()) is not None:
            work.connection.execute(delete(word).where(word.c.id == first))
            work.emit(Finished(id=first, version=1))
        work.connection.execute(insert(word).values(word="ran"))

    return service


def _keep(database: Database, *texts: str) -> None:
    with database.transaction() as transaction:
        for text in texts:
            transaction.connection.execute(insert(word).values(word=text))


def test_it_runs_until_nothing_is_left_to_do_and_writes_nothing_then(database: Database) -> None:
    wakes: list[str] = []
    task = _task(database, _service(), wakes)
    task.run_once()
    _keep(database, "todo", "todo", "todo")
    with database.reading() as transaction:
        assert transaction.connection.execute(select(lease)).all() == []
    task.run_once()
    assert words_in(database) == ["ran", "ran", "ran"]
    assert wakes == ["woken"] * 3
    with database.reading() as transaction:
        assert len(transaction.connection.execute(select(outbox.c.id)).all()) == 3


def test_without_a_condition_it_runs_once_each_time(database: Database) -> None:
    task = _task(database, _service(when=None))
    task.run_once()
    assert words_in(database) == ["ran"]
    task.run_once()
    assert words_in(database) == ["ran", "ran"]


def test_of_several_workers_one_runs_it_until_its_interval_is_over(database: Database) -> None:
    service = _service(when=None, seconds=HOUR)
    first, second = _task(database, service), _task(database, service)
    first.run_once()
    second.run_once()
    assert words_in(database) == ["ran"]
    with database.transaction() as transaction:
        transaction.connection.execute(lease.update().values(held_until=0))
    second.run_once()
    assert words_in(database) == ["ran", "ran"]


@pytest.mark.parametrize("raised", [ZeroDivisionError, SystemExit, GeneratorExit])
def test_a_function_that_fails_leaves_nothing_behind_and_ends_no_worker(database: Database, raised: type) -> None:
    service = Service("example")

    @service.every(HOUR)
    def fail(work: Work) -> None:
        work.connection.execute(insert(word).values(word="half"))
        raise raised

    task = _task(database, service)
    with capture_logs() as logs:
        task.run_once()
    assert [(each["event"], each["task"]) for each in logs] == [("scheduled_task_failed", "example.fail")]
    assert words_in(database) == []
    with database.reading() as transaction:
        assert transaction.connection.execute(select(lease)).all() == []


def test_while_it_runs_it_is_known_as_a_handler_that_may_hang(database: Database) -> None:
    service, seen = Service("example"), []

    @service.every(0.001)
    def look(_work: Work) -> None:
        seen.append(longest_running([task.ident]))

    task = _task(database, service)
    task.start()
    wait_until(lambda: bool(seen), WAIT_SECONDS, "it ran")
    task.stop(WAIT_SECONDS)
    assert seen[0] is not None
    assert seen[0].operation == "example.look"
    assert longest_running([task.ident]) is None


# Jobs: functions that open their own transactions.


def _job_service(database: Database, failing: str = "") -> Service:
    """Its job takes one row, lets another connection write meanwhile, and marks the row."""
    service = Service("example")

    @service.job(HOUR, when=todo)
    def deliver(job: Job) -> None:
        with job.transaction() as work:
            first = work.connection.execute(todo.limit(1)).scalar_one()
            work.connection.execute(word.update().where(word.c.id == first).values(word="taken"))
        _keep(database, "meanwhile")
        if failing == "before the mark":
            raise ZeroDivisionError
        with job.transaction() as work:
            work.connection.execute(word.update().where(word.c.id == first).values(word="done"))
            work.emit(Finished(id=first, version=1))
            if failing == "in the mark":
                raise ZeroDivisionError
        with job.reading() as connection:
            assert connection.execute(select(word.c.word).where(word.c.id == first)).scalar_one() == "done"

    return service


def test_a_job_opens_its_own_transactions_and_has_no_lease(database: Database) -> None:
    wakes: list[str] = []
    task = _task(database, _job_service(database), wakes)
    task.run_once()
    _keep(database, "todo", "todo")
    task.run_once()
    assert sorted(words_in(database)) == ["done", "done", "meanwhile", "meanwhile"]
    assert wakes == ["woken"] * 2
    with database.reading() as transaction:
        assert len(transaction.connection.execute(select(outbox.c.id)).all()) == 2
        assert transaction.connection.execute(select(lease)).all() == []


@pytest.mark.parametrize("failing", ["before the mark", "in the mark"])
def test_of_a_job_that_fails_the_finished_transactions_stay(database: Database, failing: str) -> None:
    wakes: list[str] = []
    task = _task(database, _job_service(database, failing), wakes)
    _keep(database, "todo")
    with capture_logs() as logs:
        task.run_once()
    assert [(each["event"], each["task"]) for each in logs] == [("scheduled_task_failed", "example.deliver")]
    assert sorted(words_in(database)) == ["meanwhile", "taken"]
    assert wakes == []


def test_a_job_knows_that_its_worker_stops(database: Database) -> None:
    service, begun, seen = Service("example"), threading.Event(), []

    @service.job(0.001)
    def wait(job: Job) -> None:
        begun.set()
        wait_until(lambda: job.is_stopping, WAIT_SECONDS, "the worker stops")
        seen.append("stopped")

    task = _task(database, service)
    task.start()
    assert begun.wait(WAIT_SECONDS)
    task.stop(WAIT_SECONDS)
    assert seen == ["stopped"]


def test_a_job_is_a_function_of_a_job() -> None:
    def wrong(job: Job, more: int) -> None: ...

    with pytest.raises(TypeError, match=r"annotate its parameters as \(Job\)"):
        Service("example").job(1.0)(wrong)  # type: ignore[arg-type]


def test_a_function_needs_a_name_of_its_own_an_interval_and_a_parameter() -> None:
    service = _service()

    def finish(work: Work) -> None: ...
    def other(work: Work) -> None: ...
    def wrong(work: Work, more: int) -> None: ...

    with pytest.raises(TypeError, match=r"example\.finish: it needs a name of its own"):
        service.every(1.0)(finish)
    with pytest.raises(TypeError, match="more than 0 seconds"):
        service.every(0.0)(other)
    with pytest.raises(TypeError, match=r"annotate its parameters as \(Work\)"):
        service.every(1.0)(wrong)  # type: ignore[arg-type]


def test_what_a_job_insists_on_is_done_again_while_the_database_is_busy(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.service.job.AGAIN_SECONDS", 0.01)
    tries: list[int] = []

    def note(work: Work) -> None:
        work.connection.execute(insert(word).values(word="noted"))
        tries.append(len(tries))
        if len(tries) < 3:
            raise DatabaseBusy("locked", "", is_conflict=False)

    job = Job(database, "example", (), lambda: False, lambda: None)
    job.insist(note, WAIT_SECONDS)
    assert (len(tries), words_in(database)) == (3, ["noted"])
    tries.clear()
    with pytest.raises(DatabaseBusy):
        job.insist(note, 0.0)
    assert words_in(database) == ["noted"]
