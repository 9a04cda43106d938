"""The heartbeat: each worker writes into the service's database that it lives, and what it knows of itself.

So any worker can answer for all, and one that was killed is missed after some seconds.
"""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from statistics import fmean
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, bindparam, delete, insert, select, update

from bus.contract.operator.state import SeenWorker, WorkerState
from bus.database.clock import now
from bus.database.engine import Database
from bus.database.tables import worker
from bus.worker.background.periodic import PeriodicTask
from bus.worker.telemetry import MessageTelemetry

BEAT_SECONDS = 1.0
# A worker that has written nothing for this long is lost, and is forgotten a minute later.
LOST_SECONDS, FORGOTTEN_SECONDS = 4.0, 60.0

DISTRIBUTION = "errand-bus"

_beat = (
    update(worker)
    .where(worker.c.id == bindparam("worker_id"))
    .values(state=bindparam("state"), seen_at=bindparam("seen_at"))
)


class Heartbeat(PeriodicTask):
    """Writes the state of one worker every second, and deletes it when the worker stops in order.

    `why_not_ready` and `unacknowledged` give what the state has of these.
    """

    at_once = at_stop = True

    def __init__(
        self,
        service: str,
        database: Database,
        telemetry: MessageTelemetry,
        why_not_ready: Callable[[], str],
        unacknowledged: Callable[[], Mapping[str, int]],
    ) -> None:
        super().__init__(f"{service}-heartbeat")
        self._database, self._telemetry = database, telemetry
        self._why_not_ready, self._unacknowledged = why_not_ready, unacknowledged
        self._id, self._since, self._version = uuid4().hex, datetime.now(UTC), version(DISTRIBUTION)

    def pause(self) -> float:
        """The same between all beats."""
        return BEAT_SECONDS

    def run_once(self) -> None:
        """Write the state once; at the end, delete it. Raises DatabaseUnavailable."""
        # Each statement commits by itself: all beats but the first are one, and an idle worker does little else.
        with self._database.reading() as transaction:
            connection = transaction.connection
            if self.stopping.is_set():
                connection.execute(delete(worker).where(worker.c.id == self._id))
                return
            seen_at = now(connection).timestamp()
            values = {"state": msgspec.json.encode(self._state()), "seen_at": seen_at}
            if not connection.execute(_beat, {"worker_id": self._id, **values}).rowcount:
                connection.execute(insert(worker).values(id=self._id, **values))
                connection.execute(delete(worker).where(worker.c.seen_at < seen_at - FORGOTTEN_SECONDS))

    def _state(self) -> WorkerState:
        telemetry = self._telemetry
        seconds, batches = sorted(telemetry.handler_seconds), list(telemetry.batches)
        return WorkerState(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=self._version,
            since=self._since,
            why_not_ready=self._why_not_ready(),
            handled=telemetry.handled,
            failed=telemetry.failed,
            batch=round(fmean(batches), 1) if batches else 0.0,
            handler_ms_p50=_milliseconds(seconds, 0.5),
            handler_ms_p99=_milliseconds(seconds, 0.99),
            unacknowledged=self._unacknowledged(),
        )


def workers_seen(connection: Connection) -> list[SeenWorker]:
    """The workers of the service, those that were lost in the last minute among them, the oldest first."""
    moment, found = now(connection).timestamp(), []
    for row in connection.execute(select(worker.c.state, worker.c.seen_at)):
        state, ago = msgspec.json.decode(bytes(row.state), type=WorkerState), max(0.0, moment - row.seen_at)
        if ago < FORGOTTEN_SECONDS:
            values = msgspec.structs.asdict(state)
            found.append(SeenWorker(**values, seen_seconds_ago=round(ago, 1), is_lost=ago > LOST_SECONDS))
    return sorted(found, key=lambda each: each.since)


def _milliseconds(seconds: Sequence[float], share: float) -> float | None:
    """The quantile of sorted times."""
    return round(seconds[min(len(seconds) - 1, int(share * len(seconds)))] * 1000, 1) if seconds else None
