"""Gauges of a service's database for the metrics: unsent events and waiting dead letters, counted now and then."""

import contextlib
import threading

from sqlalchemy import Connection, func, select

from bus.database.engine import Database, DatabaseUnavailable
from bus.database.tables import UtcDateTime, dead_letter, outbox
from bus.dead_letters.store import DEAD
from bus.telemetry.metrics import Metrics

# Between two counts: as often as Prometheus usually asks.
LOOK_SECONDS = 10.0
# The gauges stop here: counting more rows would only burden a database that is behind already.
MOST_COUNTED = 10_000

_unsent = outbox.c.sent_at.is_(None)
_now = func.now(type_=UtcDateTime).label("now")
_oldest = select(outbox.c.made_at, _now).where(_unsent).order_by(outbox.c.id).limit(1)
_how_many_unsent = select(func.count()).select_from(select(outbox.c.id).where(_unsent).limit(MOST_COUNTED).subquery())
_is_waiting = dead_letter.c.state == DEAD
_how_many_letters = select(func.count()).select_from(
    select(dead_letter.c.id).where(_is_waiting).limit(MOST_COUNTED).subquery()
)


class DatabaseGauges:
    """A thread that counts in one service's database. The metrics show the last counts."""

    def __init__(self, service: str, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{service}-survey", daemon=True)
        self._unsent = self._letters = 0
        self._oldest_seconds = 0.0
        label = ("service", service)
        metrics.gauge("outbox_events", "Committed events that the broker has not taken.", label, lambda: self._unsent)
        metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them.", label, lambda: self._oldest_seconds)
        metrics.gauge("dead_letters_waiting", "Dead letters that nobody has dealt with.", label, lambda: self._letters)

    def start(self) -> None:
        """Begin, and count at once."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the current count; wait for that at most `seconds`."""
        self._stopping.set()
        self._thread.join(seconds)

    def look(self) -> None:
        """Count once. Raises DatabaseUnavailable."""
        with self._database.reading() as transaction:
            self._oldest_seconds = _age_of_oldest(transaction.connection)
            self._unsent = transaction.connection.execute(_how_many_unsent).scalar_one()
            self._letters = transaction.connection.execute(_how_many_letters).scalar_one()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(DatabaseUnavailable):  # the consumers log it; the last values stay
                self.look()
            self._stopping.wait(LOOK_SECONDS)


def _age_of_oldest(connection: Connection) -> float:
    row = connection.execute(_oldest).one_or_none()
    return 0.0 if row is None else max(0.0, (row.now - row.made_at).total_seconds())
