"""Jobs: what a periodic function is given that runs outside of a transaction, and opens its own."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from bus.contract.identity import ANONYMOUS
from bus.contract.operations import Operation
from bus.database import outbox
from bus.database.engine import Database
from bus.database.trouble import DatabaseUnavailable
from bus.service.work import Work

# How long a transaction waits for what another one holds; the next run tries again.
LOCK_SECONDS = 1.0
AGAIN_SECONDS = 0.5


class Job:
    """One run of a function of `Service.job`.

    Neither a transaction nor a lease is held while the function waits for something, such as a server of another kind.
    """

    def __init__(
        self,
        database: Database,
        service: str,
        may_send: Sequence[type[Operation[Any]]],
        is_stopping: Callable[[], bool],
        on_events: Callable[[], None],
    ) -> None:
        self._database, self._service, self._may_send = database, service, may_send
        self._is_stopping, self._on_events = is_stopping, on_events

    @property
    def is_stopping(self) -> bool:
        """Whether the worker stops: end soon, and leave the rest to the next one."""
        return self._is_stopping()

    @contextmanager
    def transaction(self) -> Iterator[Work]:
        """A transaction of its own, with what is emitted and sent in it; commits if the block ends without an error.

        Raises DatabaseUnavailable and DBAPIError, which end the run; they are the worker's to handle.
        """
        with self._database.transaction(LOCK_SECONDS) as transaction:
            yield Work(transaction, ANONYMOUS, self._service, may_send=self._may_send)
            if transaction.outgoing:
                outbox.write(transaction.connection, transaction.outgoing)
        if transaction.outgoing:
            self._on_events()

    def insist(self, function: Callable[[Work], None], seconds: float) -> None:
        """Run a function of (work) in a transaction, again while the database is away or busy, for up to `seconds`.

        For what was done outside and must be noted. Raises DatabaseUnavailable after that time.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.transaction() as work:
                    function(work)
            except DatabaseUnavailable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(AGAIN_SECONDS)
            else:
                return

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reads, each statement of which is a transaction of its own. Raises DatabaseUnavailable."""
        with self._database.reading() as transaction:
            yield transaction.connection
