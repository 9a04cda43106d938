"""Lanes: the messages of some queues, and the threads that work them off."""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import structlog

from bus.database.engine import Database, DatabaseUnavailable
from bus.messaging.message import Delivery

log = structlog.get_logger("bus.worker")

# Works off a batch that its lane took; the lane is there to wait at.
BatchHandler = Callable[[Sequence[Delivery], "ConsumerThreads"], None]


class Stopped(Exception):
    """The worker stops while something it needs is away; it keeps the messages, and the broker delivers them again."""


class ConsumerThreads:
    """Threads that take what has arrived, at most `batch` messages at once, and work it off.

    `failure` is why a thread ended that should not have.
    """

    def __init__(self, name: str, handle_batch: BatchHandler, *, threads: int = 1, batch: int = 1) -> None:
        self._handle_batch, self._batch = handle_batch, batch
        self._arrived: SimpleQueue[Delivery | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(threads)
        ]
        self.failure: Exception | None = None

    @property
    def idents(self) -> list[int | None]:
        """The threads' numbers."""
        return [thread.ident for thread in self._threads]

    def put(self, delivery: Delivery) -> None:
        """A message has arrived."""
        self._arrived.put(delivery)

    def next(self, seconds: float) -> Delivery | None:
        """What arrives in this time, for a thread that cannot work now. Raises Stopped."""
        try:
            delivery = self._arrived.get(timeout=seconds)
        except Empty:
            return None
        if delivery is None:
            self._arrived.put(None)
            raise Stopped
        return delivery

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Nothing more arrives: the threads end when all is worked off."""
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
        except Exception as error:
            # A defect of ours. Going on without this thread would look alive and do nothing.
            log.exception("worker_failed", thread=threading.current_thread().name)
            self.failure = error

    def _take(self) -> list[Delivery]:
        """The next deliveries, at least one; empty when the lane is finished."""
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


# How often the database is asked whether it is back.
PROBE_SECONDS = 0.5

log = structlog.get_logger("bus.worker")


def log_unavailable(service: str, waiting: int, away: DatabaseUnavailable) -> None:
    """One line for the log; `waiting` messages are kept."""
    log.warning("database_unavailable", service=service, waiting=waiting, reason=str(away)[:200])


def log_available(service: str) -> None:
    """One line for the log."""
    log.info("database_available", service=service)


def wait_until_available(database: Database, stopping: threading.Event) -> None:
    """Return when the database answers. Raises Stopped when the worker stops before."""
    while not database.answers():
        if stopping.wait(PROBE_SECONDS):
            raise Stopped
