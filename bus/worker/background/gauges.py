"""The survey: what waits in a service's database, looked at now and then for the metrics."""

import contextlib
import threading
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from bus.database.engine import Database, DatabaseUnavailable
from bus.database.tables import dead_letter, outbox
from bus.dead_letters.store import DEAD
from bus.telemetry.metrics import Metrics

# Between two looks: as often as Prometheus asks, usually.
LOOK_SECONDS = 10.0
# Beyond that it is many, and counting them would only make it worse.
MOST_COUNTED = 10_000

_unsent = outbox.c.sent_at.is_(None)
_oldest = select(outbox.c.made_at, func.now().label("now")).where(_unsent).order_by(outbox.c.id).limit(1)
_how_many_unsent = select(func.count()).select_from(select(outbox.c.id).where(_unsent).limit(MOST_COUNTED).subquery())
_is_waiting = dead_letter.c.state == DEAD
_how_many_letters = select(func.count()).select_from(
    select(dead_letter.c.id).where(_is_waiting).limit(MOST_COUNTED).subquery()
)


class DatabaseGauges:
    """A thread that looks into one service's database. What it found last is what the metrics show."""

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
        """Begin, with a look at once."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the look in hand."""
        self._stopping.set()
        self._thread.join(seconds)

    def look(self) -> None:
        """Look once. Raises DatabaseUnavailable."""
        with self._database.reading() as transaction:
            self._oldest_seconds = _age_of_oldest(transaction.connection)
            self._unsent = transaction.connection.execute(_how_many_unsent).scalar_one()
            self._letters = transaction.connection.execute(_how_many_letters).scalar_one()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with contextlib.suppress(DatabaseUnavailable):  # told by those whose work it stops; the last values stay
                self.look()
            self._stopping.wait(LOOK_SECONDS)


def _age_of_oldest(connection: Connection) -> float:
    row = connection.execute(_oldest).one_or_none()
    return 0.0 if row is None else max(0.0, (_utc(row.now) - _utc(row.made_at)).total_seconds())


def _utc(moment: datetime) -> datetime:
    """SQLite's times have no zone, and are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
