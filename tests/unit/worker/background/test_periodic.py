"""Periodic tasks: run again and again, through trouble with the database, and a last time where that is asked for."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

import pytest
from sqlalchemy.exc import OperationalError

from bus.contract.exits import Exited
from bus.database.trouble import DatabaseUnavailable
from bus.testing.waiting import wait_until
from bus.worker.background import periodic
from bus.worker.background.periodic import PeriodicTask

END_SECONDS = 30.0


class Task(PeriodicTask):
    """Notes each run, and then does what it is told."""

    def __init__(self, pause: float, do: Callable[[int], None] = lambda _: None, *, at_stop: bool = False) -> None:
        super().__init__("test-task")
        self.runs: SimpleQueue[int] = SimpleQueue()
        self._pause, self._do, self._count = pause, do, 0
        self.at_stop = at_stop

    def pause(self) -> float:
        return self._pause

    def run_once(self) -> None:
        self._count += 1
        self.runs.put(self._count)
        self._do(self._count)


@pytest.fixture(autouse=True)
def _no_pause_after_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periodic, "TROUBLE_SECONDS", 0.0)


def test_it_runs_again_and_again() -> None:
    task = Task(0.001)
    task.start()
    assert [task.runs.get(timeout=END_SECONDS) for _ in range(3)] == [1, 2, 3]
    task.stop(END_SECONDS)
    assert task.failure is None


def test_waking_it_ends_the_pause() -> None:
    task = Task(3600.0)
    task.start()
    task.wake()
    assert task.runs.get(timeout=END_SECONDS) == 1
    task.stop(END_SECONDS)
    assert task.runs.empty()


def test_a_last_run_follows_the_stop_even_if_it_comes_during_a_run() -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait_once(count: int) -> None:
        if count == 1:
            running.set()
            go_on.wait(END_SECONDS)

    task = Task(3600.0, wait_once, at_stop=True)
    task.start()
    task.wake()
    assert running.wait(END_SECONDS)
    stopping = threading.Thread(target=task.stop, args=[END_SECONDS])
    stopping.start()
    assert task.stopping.wait(END_SECONDS)
    go_on.set()
    stopping.join(END_SECONDS)
    assert [task.runs.get(timeout=END_SECONDS) for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("trouble", [DatabaseUnavailable("away"), OperationalError("x", {}, Exception("locked"))])
def test_trouble_with_the_database_ends_one_run_and_not_the_thread(trouble: Exception) -> None:
    def fail_once(count: int) -> None:
        if count == 1:
            raise trouble

    task = Task(0.001, fail_once)
    task.start()
    assert [task.runs.get(timeout=END_SECONDS) for _ in range(2)] == [1, 2]
    task.stop(END_SECONDS)
    assert task.failure is None


@pytest.mark.parametrize(("raised", "failure"), [(ZeroDivisionError, ZeroDivisionError), (SystemExit, Exited)])
def test_a_defect_ends_the_thread_and_is_its_failure(raised: type, failure: type) -> None:
    def fail(_: int) -> None:
        raise raised

    task = Task(0.001, fail)
    task.start()
    wait_until(lambda: isinstance(task.failure, failure), END_SECONDS, "the failure is known")
    task.stop(END_SECONDS)
    assert task.runs.qsize() == 1
