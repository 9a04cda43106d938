"""Scheduled tasks: a service's own functions that are run again and again, by one of its workers at a time."""

from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError

from bus.database import leases
from bus.database.engine import Database
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import current_task
from bus.service.handler import PeriodicHandler
from bus.service.job import Job
from bus.worker.background.periodic import PeriodicTask
from bus.worker.execution import OnEvents

log = structlog.get_logger("bus.worker")


class ScheduledTask(PeriodicTask):
    """Runs one function of a service. `on_events` is called when it emitted events, after the commit.

    The lease is claimed in the function's own transaction and lasts for one interval. So a worker that is killed leaves
    no lease behind, and the others wait no longer for it than its database connection lives. A function that opens its
    own transactions has no lease: it takes rows.
    """

    def __init__(self, handler: PeriodicHandler, database: Database, on_events: OnEvents) -> None:
        super().__init__(f"{handler.name}-every")
        self._handler, self._database, self._holder = handler, database, uuid4().hex
        # Made once, since SQLAlchemy finds a statement that it knows faster than an equal one.
        self._due = None if handler.when is None else handler.when.limit(1)
        self._job = Job(database, handler.service, handler.sends, self.stopping.is_set, on_events)

    def pause(self) -> float:
        """The interval."""
        return self._handler.seconds

    def run_once(self) -> None:
        """Run the function if there is something to do, and again while there is more."""
        while not self.stopping.is_set() and self._is_due() and self._run_function():
            if self._due is None:
                return

    def _is_due(self) -> bool:
        if self._due is None:
            return True
        with self._database.reading() as transaction:
            return transaction.connection.execute(self._due).first() is not None

    def _run_function(self) -> bool:
        """False when another worker has the lease, or when it failed."""
        try:
            with current_task(self._handler.name):
                return self._call()
        except (DatabaseUnavailable, DBAPIError):
            raise
        except Exception:  # any function's
            log.exception("scheduled_task_failed", task=self._handler.name)
            return False

    def _call(self) -> bool:
        handler = self._handler
        if handler.takes_job:
            handler.function(self._job)
            return True
        with self._job.transaction() as work:
            is_ours = leases.claim(work.connection, handler.name, self._holder, handler.seconds)
            if is_ours:
                handler.function(work)
        return is_ours
