"""Waiting: a thread blocks, a task gives its turn to the event loop, and both get what is put into their mailbox."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import pytest

from bus.messaging.waiting import Hub, Mailbox, mailbox, poll

LONG_SECONDS = 60.0


class Loop:
    """An event loop in a thread, and what its tasks returned or raised."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.hub: Hub = self.call(lambda: Hub(self.loop))

    def call(self, work: Callable[[], Any]) -> Any:
        """Run this in a callback of the loop."""

        async def run() -> Any:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(LONG_SECONDS)

    def start(self, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Run this as a task; the future gets what it returns."""

        def begin() -> "asyncio.Future[Any]":
            done: asyncio.Future[Any] = self.loop.create_future()

            def task() -> None:
                try:
                    done.set_result(work())
                except Exception as error:
                    done.set_exception(error)

            self.hub.start(task)
            return done

        future: asyncio.Future[Any] = self.call(begin)
        return future

    def result(self, future: "asyncio.Future[Any]") -> Any:
        async def wait() -> Any:
            return await future

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(LONG_SECONDS)

    def run(self, work: Callable[[], Any]) -> Any:
        return self.result(self.start(work))

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(LONG_SECONDS)
        self.loop.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.stop()


def test_a_thread_gets_what_another_one_puts() -> None:
    box: Mailbox[int] = mailbox()
    threading.Thread(target=box.put, args=(7,)).start()
    assert box.get(timeout=LONG_SECONDS) == 7
    with pytest.raises(Empty):
        box.get(timeout=0.0)


def test_a_thousand_tasks_wait_in_one_thread(loop: Loop) -> None:
    boxes: list[Mailbox[int]] = []

    def wait() -> tuple[int, int]:
        box: Mailbox[int] = mailbox()
        boxes.append(box)
        return box.get(timeout=LONG_SECONDS), threading.get_ident()

    waiting = [loop.start(wait) for _ in range(1000)]
    assert len(boxes) == 1000
    for number, box in enumerate(boxes):
        box.put(number)
    results = [loop.result(each) for each in waiting]
    assert [number for number, _ in results] == list(range(1000))
    assert {thread for _, thread in results} == {loop.hub.thread}


def test_the_loop_itself_lets_a_task_go_on_at_once(loop: Loop) -> None:
    boxes: list[Mailbox[str]] = []

    def wait() -> str:
        boxes.append(mailbox())
        return boxes[0].get(timeout=LONG_SECONDS)

    waiting = loop.start(wait)

    def put() -> bool:
        boxes[0].put("now")
        return waiting.done()

    assert loop.call(put) is True


def test_one_task_lets_another_go_on(loop: Loop) -> None:
    boxes: list[Mailbox[str]] = []

    def wait() -> str:
        boxes.append(mailbox())
        return boxes[0].get(timeout=LONG_SECONDS)

    waiting = loop.start(wait)
    loop.run(lambda: boxes[0].put("from a task"))
    assert loop.result(waiting) == "from a task"


def test_a_task_waits_no_longer_than_it_may_and_takes_what_comes_later(loop: Loop) -> None:
    def wait() -> list[str]:
        box: Mailbox[str] = mailbox()
        for seconds in (0.0, 0.01):
            with pytest.raises(Empty):
                box.get(timeout=seconds)
        box.put("first")
        box.put("second")
        return [box.get(timeout=0.0), box.get(timeout=LONG_SECONDS)]

    assert loop.run(wait) == ["first", "second"]


def test_a_task_is_not_woken_for_what_it_has_taken_already(loop: Loop) -> None:
    """Otherwise it would take the wake for the end of its next wait."""
    boxes: list[Mailbox[str]] = []

    def wait() -> list[str]:
        box: Mailbox[str] = mailbox()
        boxes.append(box)
        putting = threading.Thread(target=lambda: [box.put(word) for word in ("a", "b")])
        putting.start()
        putting.join()  # both are there, and the loop has yet to hear of them
        return [box.get(timeout=LONG_SECONDS) for _ in range(3)]

    waiting = loop.start(wait)
    loop.call(lambda: None)
    boxes[0].put("c")
    assert loop.result(waiting) == ["a", "b", "c"]


def test_the_context_of_a_task_is_its_own(loop: Loop) -> None:
    """Flask keeps its request in context variables."""
    mine: contextvars.ContextVar[int] = contextvars.ContextVar("mine")
    boxes: list[Mailbox[None]] = []

    def wait(number: int) -> int:
        mine.set(number)
        boxes.append(mailbox())
        boxes[-1].get(timeout=LONG_SECONDS)
        return mine.get()

    waiting = [loop.start(lambda each=number: wait(each)) for number in range(3)]  # type: ignore[misc]
    for box in reversed(boxes):
        box.put(None)
    assert [loop.result(each) for each in waiting] == [0, 1, 2]


def test_a_condition_is_polled_by_tasks_and_threads_alike(loop: Loop) -> None:
    answers = iter([False, False, True])
    assert loop.run(lambda: poll(lambda: next(answers), LONG_SECONDS)) is True
    assert loop.run(lambda: poll(lambda: False, 0.02)) is False
    assert poll(lambda: True, 0.0) is True
    assert poll(lambda: False, 0.02) is False
