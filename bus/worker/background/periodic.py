"""A thread that does the same task again and again, until it is stopped."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

import structlog
from sqlalchemy.exc import DBAPIError

from bus.contract.exits import Exited
from bus.database.trouble import DatabaseUnavailable

# After a run that the database ended: a task that is woken all the time would be one busy loop.
TROUBLE_SECONDS = 1.0

log = structlog.get_logger("bus.worker")


class PeriodicTask(ABC):
    """Has `run_once` called in a thread of its own, with a pause of `pause()` seconds before each run.

    With `at_once` the first run comes without a pause; with `at_stop` a last run follows `stop`. Trouble with the
    database ends a run, and the next one tries again. Any other error is a defect: the thread ends, and `failure` is
    the error. `wake()` has the task run now, or once more after the run that is under way.
    """

    at_once = False
    at_stop = False

    def __init__(self, name: str) -> None:
        self._woken = threading.Event()
        self.wake: Callable[[], None] = self._woken.set
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.stopping = threading.Event()
        self.failure: Exception | None = None

    @property
    def ident(self) -> int | None:
        """The thread's id, once it runs."""
        return self._thread.ident

    @abstractmethod
    def run_once(self) -> None:
        """The task."""

    @abstractmethod
    def pause(self) -> float:
        """The pause before the next run, in seconds."""

    def start(self) -> None:
        """Start the thread."""
        if self.at_once:
            self.wake()
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the run that is under way; waits at most `seconds`."""
        self.stopping.set()
        self.wake()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            is_last = False
            while not is_last and self.failure is None:
                self._woken.wait(self.pause())
                self._woken.clear()
                is_last = self.stopping.is_set()
                if self.at_stop or not is_last:
                    self._try_once()
        except BaseException as error:
            # Going on without this thread would look alive and do nothing.
            log.exception("background_task_failed", thread=self._thread.name)
            self.failure = error if isinstance(error, Exception) else Exited(error)

    def _try_once(self) -> None:
        try:
            self.run_once()
        except DatabaseUnavailable:  # logged by the consumers, which wait for it
            self.stopping.wait(TROUBLE_SECONDS)
        except DBAPIError as error:  # a lock, a time-out: its class says which, its text could hold data
            log.warning("background_task_postponed", thread=self._thread.name, error=type(error.orig).__name__)
            self.stopping.wait(TROUBLE_SECONDS)
