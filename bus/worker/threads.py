"""Consumer threads: they take what has arrived for some queues, in batches, and hand it to a batch handler."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Protocol, TypeVar

import structlog
from msgspec import structs

from bus.contract.exits import Exited
from bus.database.engine import Database
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.message import Delivery
from bus.telemetry.spans import Spans

# How often a database that is away is asked whether it is back.
PROBE_SECONDS = 0.5

log = structlog.get_logger("bus.worker")

T = TypeVar("T")


class Arrivals(Protocol):
    """What arrives while a batch is handled, for a handler that has to wait."""

    def next(self, seconds: float) -> Delivery | None:
        """What arrives within `seconds`. Raises Stopped."""

    def put(self, delivery: Delivery, /) -> None:
        """Have a delivery handled later."""


BatchHandler = Callable[[Sequence[Delivery], Arrivals], None]


class Stopped(Exception):
    """The worker stops while something it needs is away. Its messages stay unacknowledged, and are delivered again."""


class ConsumerThreads:
    """Threads that take what has arrived, at most `batch` messages at once, and have it handled.

    `put` adds a message. `failure` is the exception that ended a thread too early.
    """

    def __init__(self, name: str, handle_batch: BatchHandler, *, threads: int = 1, batch: int = 1) -> None:
        self._handle_batch, self._batch = handle_batch, batch
        self._arrived: SimpleQueue[Delivery | None] = SimpleQueue()
        self.put: Callable[[Delivery], None] = self._arrived.put
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        self.failure: Exception | None = None

    @property
    def idents(self) -> list[int | None]:
        """The identifiers of the threads."""
        return [thread.ident for thread in self._threads]

    def next(self, seconds: float) -> Delivery | None:
        """What arrives within `seconds`, for a thread that cannot go on now. Raises Stopped."""
        try:
            delivery = self._arrived.get(timeout=seconds)
        except Empty:
            return None
        if delivery is None:
            self._arrived.put(None)
            raise Stopped
        return delivery

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Nothing more arrives: the threads end when everything is handled."""
        self._arrived.put(None)

    def join(self, deadline: float) -> None:
        """Wait for the threads to end, at most until the deadline (time.monotonic())."""
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        try:
            while batch := self._take():
                self._handle_batch(batch, self)
        except Stopped:
            pass
        except BaseException as error:
            # A defect of the library. Going on without this thread would look alive and do nothing.
            log.exception("worker_failed", thread=threading.current_thread().name)
            self.failure = error if isinstance(error, Exception) else Exited(error)

    def _take(self) -> list[Delivery]:
        """The next deliveries, at least one; empty after the last."""
        batch: list[Delivery] = []
        while len(batch) < self._batch:
            try:
                delivery = self._arrived.get(block=not batch)
            except Empty:
                break
            if delivery is None:
                self._arrived.put(None)  # for the other threads, and for our next look
                break
            batch.append(delivery)
        return batch


def distributing(threads_of: Mapping[str, ConsumerThreads], spans: Spans | None) -> Callable[[Delivery], None]:
    """A function that gives each delivery to the threads of its queue, and decides whether its trace is sampled."""

    def distribute(delivery: Delivery) -> None:
        if spans is not None:
            delivery = structs.replace(delivery, trace=spans.decided(delivery.trace))
        threads_of[delivery.message.queue].put(delivery)

    return distribute


class DatabaseWaits:
    """The threads of a worker that wait for its database. `sentence` says why; it is empty while none waits."""

    def __init__(self, service: str, database: Database, stopping: threading.Event) -> None:
        self._service, self._database, self._stopping = service, database, stopping
        self._waiting: dict[int, str] = {}

    @property
    def sentence(self) -> str:
        """Why the database is waited for."""
        return next(iter([*self._waiting.values()]), "")

    def begin(self, error: DatabaseUnavailable, waiting: int) -> None:
        """This thread waits from now on, with so many messages. One line for the log, also when the reason changes."""
        if self._waiting.get(threading.get_ident()) != error.sentence:
            log.warning("database_unavailable", service=self._service, waiting=waiting, reason=str(error)[:200])
        self._waiting[threading.get_ident()] = error.sentence

    def end(self) -> None:
        """This thread goes on, if it has waited."""
        if self._waiting and self._waiting.pop(threading.get_ident(), None) is not None:
            log.info("database_available", service=self._service)

    def until_done(self, run: Callable[[], T], waiting: int) -> T:
        """What `run` returns; tried again until the database lets it. Raises Stopped."""
        while True:
            try:
                result = run()
            except DatabaseUnavailable as error:
                self.begin(error, waiting)
                self._wait_until_it_answers()
            else:
                self.end()
                return result

    def _wait_until_it_answers(self) -> None:
        """After a pause: a database that takes no writes answers at once, and still takes none."""
        while True:
            if self._stopping.wait(PROBE_SECONDS):
                raise Stopped
            if self._database.answers():
                return
