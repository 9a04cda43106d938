"""Scheduled tasks: a service's own functions that are run again and again, by one of its workers at a time."""

from uuid import uuid4

import structlog
from sqlalchemy.exc import DBAPIError

from bus.contract.identity import ANONYMOUS
from bus.database import leases, outbox
from bus.database.engine import Database, Transaction
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.call import current_task
from bus.service.handler import PeriodicHandler
from bus.service.work import Work
from bus.worker.background.periodic import PeriodicTask
from bus.worker.execution import OnEvents

# How long a run waits for what another transaction holds; the next run tries again.
LOCK_SECONDS = 1.0

log = structlog.get_logger("bus.worker")


class ScheduledTask(PeriodicTask):
    """Runs one function of a service. `on_events` is called when it emitted events, after the commit.

    The lease is claimed in the function's own transaction and lasts for one interval. So a worker that is killed leaves
    no lease behind, and the others wait no longer for it than its database connection lives.
    """

    def __init__(self, handler: PeriodicHandler, database: Database, on_events: OnEvents) -> None:
        super().__init__(f"{handler.name}-every")
        self._handler, self._database, self._on_events = handler, database, on_events
        self._holder = uuid4().hex

    def pause(self) -> float:
        """The interval."""
        return self._handler.seconds

    def run_once(self) -> None:
        """Run the function if there is something to do, and again while there is more."""
        while not self.stopping.is_set() and self._is_due() and self._run_function():
            if self._handler.when is None:
                return

    def _is_due(self) -> bool:
        if self._handler.when is None:
            return True
        with self._database.reading() as transaction:
            return transaction.connection.execute(self._handler.when.limit(1)).first() is not None

    def _run_function(self) -> bool:
        """False when another worker has the lease, or when it failed."""
        handler = self._handler
        try:
            with self._database.transaction(LOCK_SECONDS) as transaction:
                if not leases.claim(transaction.connection, handler.name, self._holder, handler.seconds):
                    return False
                self._call(transaction)
        except (DatabaseUnavailable, DBAPIError):
            raise
        except Exception:  # any function's
            log.exception("scheduled_task_failed", task=handler.name)
            return False
        if transaction.outgoing:
            self._on_events()
        return True

    def _call(self, transaction: Transaction) -> None:
        handler = self._handler
        with current_task(handler.name):
            handler.function(Work(transaction, ANONYMOUS, handler.service, may_send=handler.sends))
        if transaction.outgoing:
            outbox.write(transaction.connection, transaction.outgoing)
