"""Database gauges: what waits in a service's database, counted every few seconds for the metrics."""

from sqlalchemy import Connection, func, select

from bus.database.engine import Database
from bus.database.tables import UtcDateTime, dead_letter, outbox
from bus.dead_letters.store import DEAD
from bus.telemetry.metrics import Metrics
from bus.worker.background.periodic import PeriodicTask

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


class DatabaseGauges(PeriodicTask):
    """Counts in one service's database. The metrics show the last counts."""

    at_once = True

    def __init__(self, service: str, database: Database, metrics: Metrics) -> None:
        super().__init__(f"{service}-gauges")
        self._database = database
        self._unsent = self._letters = 0
        self._oldest_seconds = 0.0
        label = ("service", service)
        metrics.gauge("outbox_events", "Committed events that the broker has not taken.", label, lambda: self._unsent)
        metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them.", label, lambda: self._oldest_seconds)
        waiting = "Dead letters that were neither replayed nor discarded."
        metrics.gauge("dead_letters_waiting", waiting, label, lambda: self._letters)

    def pause(self) -> float:
        """The same between all counts."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Count once. Raises DatabaseUnavailable; the metrics keep showing the last counts then."""
        with self._database.reading() as transaction:
            self._oldest_seconds = _age_of_oldest(transaction.connection)
            self._unsent = transaction.connection.execute(_how_many_unsent).scalar_one()
            self._letters = transaction.connection.execute(_how_many_letters).scalar_one()


def _age_of_oldest(connection: Connection) -> float:
    row = connection.execute(_oldest).one_or_none()
    return 0.0 if row is None else max(0.0, (row.now - row.made_at).total_seconds())
