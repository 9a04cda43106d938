"""Database gauges: what waits in a service's database, looked at every few seconds for the metrics."""

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from bus.database.engine import Database
from bus.database.tables import dead_letter, outbox
from bus.dead_letters.store import DEAD
from bus.telemetry.metrics import Metrics
from bus.worker.background.periodic import PeriodicTask

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


class DatabaseGauges(PeriodicTask):
    """Looks into one service's database. The metrics show what it found last."""

    at_once = True

    def __init__(self, service: str, database: Database, metrics: Metrics) -> None:
        super().__init__(f"{service}-gauges")
        self._database = database
        self._unsent = self._letters = 0
        self._oldest_seconds = 0.0
        label = ("service", service)
        metrics.gauge("outbox_events", "Committed events that the broker has not taken.", label, lambda: self._unsent)
        metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them.", label, lambda: self._oldest_seconds)
        metrics.gauge("dead_letters_waiting", "Dead letters that nobody has dealt with.", label, lambda: self._letters)

    def pause(self) -> float:
        """The same between all looks."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Look once. Raises DatabaseUnavailable; the metrics keep showing the last values then."""
        with self._database.reading() as transaction:
            self._oldest_seconds = _age_of_oldest(transaction.connection)
            self._unsent = transaction.connection.execute(_how_many_unsent).scalar_one()
            self._letters = transaction.connection.execute(_how_many_letters).scalar_one()


def _age_of_oldest(connection: Connection) -> float:
    row = connection.execute(_oldest).one_or_none()
    return 0.0 if row is None else max(0.0, (_utc(row.now) - _utc(row.made_at)).total_seconds())


def _utc(moment: datetime) -> datetime:
    """SQLite's times have no zone, and are UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
