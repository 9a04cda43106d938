"""The loop that does the I/O of a transport: one of its own in a thread, or the event loop of a front end."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Protocol

import structlog
from pika.adapters import select_connection
from pika.adapters.asyncio_connection import _AsyncioIOServicesAdapter

log = structlog.get_logger("bus.rabbitmq")


class IOLoop(Protocol):
    """What the connections use. `for_pika` is what pika's connections take as their loop."""

    for_pika: Any
    defect: BaseException | None

    @property
    def is_running(self) -> bool:
        """Whether callbacks are still called."""

    def start(self) -> None:
        """Begin to call callbacks."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call back after this time. Only the loop's own callbacks may call this."""

    def add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        """Call back in the next round. May be called from any thread."""

    def stop(self) -> None:
        """This transport needs no more callbacks. Only the loop's own callbacks may call this."""

    def join(self, seconds: float) -> None:
        """Wait until it is stopped, at most `seconds`. May not be called from a callback."""


class OwnLoop:
    """pika's own loop, in a thread."""

    def __init__(self, name: str) -> None:
        self.for_pika = select_connection.IOLoop()
        self.defect: BaseException | None = None
        self.call_later = self.for_pika.call_later
        self.add_callback_threadsafe = self.for_pika.add_callback_threadsafe
        self.stop = self.for_pika.stop
        self._thread = threading.Thread(target=self._run, name=f"{name}-rabbitmq", daemon=True)
        self.start, self.join = self._thread.start, self._thread.join

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.for_pika.start()
        except BaseException as error:
            # A bug in this package or in pika. The process must end: it would look alive and do nothing.
            log.exception("connection_thread_failed")
            self.defect = error


class SharedLoop:
    """An asyncio loop that runs already and goes on after the transport is closed.

    What a callback raises is for the loop's exception handler.
    """

    defect: BaseException | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.for_pika = _AsyncioIOServicesAdapter(loop)
        self._loop = loop
        self._thread: int | None = None
        self._stopped = threading.Event()

    @property
    def is_running(self) -> bool:
        return not self._stopped.is_set()

    def start(self) -> None:
        self._loop.call_soon_threadsafe(self._started)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        return self._loop.call_later(seconds, callback)

    def add_callback_threadsafe(self, callback: Callable[[], None]) -> None:
        """Without waking the loop when it is the loop that calls."""
        if threading.get_ident() == self._thread:
            self._loop.call_soon(callback)
        else:
            self._loop.call_soon_threadsafe(callback)

    def stop(self) -> None:
        self._stopped.set()

    def join(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _started(self) -> None:
        self._thread = threading.get_ident()
