"""How a caller waits for what another thread or the event loop brings it.

A thread blocks. A task, which is a greenlet on an event loop, gives the loop its turn back and is continued later; so
synchronous code, such as a Flask view, can wait by the thousands in one thread. What waits asks `mailbox()` for a
place to wait at and does not know which of the two it is.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

# Between two looks of `poll` at its condition.
POLL_SECONDS = 0.01


class Mailbox(Protocol[T]):
    """A place to wait at, for one caller. Anything may be put into it, by any thread."""

    def put(self, value: T) -> None:
        """Hand a value to the caller, and let it go on."""

    def get(self, *, timeout: float) -> T:
        """Wait for the next value, at most `timeout` seconds. Raises queue.Empty."""


def mailbox() -> Mailbox[Any]:
    """A mailbox for whoever runs now, a thread or a task."""
    current = getcurrent()
    return TaskMailbox(current) if isinstance(current, Task) else SimpleQueue()


def poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, at most `seconds`; returns whether it does."""
    deadline, pause = time.monotonic() + seconds, mailbox()
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        try:
            pause.get(timeout=min(POLL_SECONDS, left))
        except Empty:
            continue
    return True


class Hub:
    """Where the tasks of one event loop come from and wait. Make it in a callback or coroutine of that loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.greenlet = getcurrent()
        self.thread = threading.get_ident()

    def start(self, work: Callable[[], None]) -> None:
        """Run `work`, which must not raise, as a task; returns when it waits for the first time, or is done."""
        Task(self, work).switch()


class Task(greenlet):  # type: ignore[misc]  # greenlet has no types
    """A greenlet that runs a piece of work on an event loop. Its greenlet above is the loop's own."""

    def __init__(self, hub: Hub, work: Callable[[], None]) -> None:
        super().__init__(work, hub.greenlet)
        self.hub = hub

    def result_of(self, awaitable: Awaitable[T]) -> T:
        """Wait for an awaitable. Call it from this task. Raises what the awaitable raises."""
        future = asyncio.ensure_future(awaitable, loop=self.hub.loop)
        future.add_done_callback(lambda _future: self.switch())
        self.hub.greenlet.switch()
        return future.result()


class TaskMailbox(Generic[T]):
    """The mailbox of a task."""

    __slots__ = ("_is_waiting", "_task", "_values")

    def __init__(self, task: Task) -> None:
        self._task = task
        self._values: deque[T] = deque()
        self._is_waiting = False

    def put(self, value: T) -> None:
        """Hand a value to the task. It goes on at once if the loop itself calls this, and in the loop's turn else."""
        self._values.append(value)
        hub = self._task.hub
        if getcurrent() is hub.greenlet:
            self._wake()
        elif threading.get_ident() == hub.thread:
            hub.loop.call_soon(self._wake)
        else:
            hub.loop.call_soon_threadsafe(self._wake)

    def get(self, *, timeout: float) -> T:
        """Wait for the next value, at most `timeout` seconds. Call it from the task. Raises queue.Empty."""
        if not self._values and timeout > 0:
            hub = self._task.hub
            timer = hub.loop.call_later(timeout, self._go_on)
            self._is_waiting = True
            try:
                hub.greenlet.switch()
            finally:
                self._is_waiting = False
                timer.cancel()
        if not self._values:
            raise Empty
        return self._values.popleft()

    def _wake(self) -> None:
        if self._values:  # they may be taken already: the task may have found them without waiting
            self._go_on()

    def _go_on(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._task.switch()
