"""Database gauges: what waits in a service's database, counted every few seconds for the metrics."""

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from bus.columns import UtcDateTime
from bus.contract.operator.dead_letters import DEAD
from bus.contract.operator.state import MOST_COUNTED
from bus.database.engine import Database
from bus.database.tables import dead_letter, is_new, is_refused, outbox
from bus.telemetry.metrics import Metrics
from bus.worker.background.periodic import PeriodicTask

# Between two counts: as often as Prometheus usually asks.
LOOK_SECONDS = 10.0

_now = func.now(type_=UtcDateTime).label("now")
_oldest_new, _oldest_refused = (
    select(outbox.c.made_at, _now).where(condition).order_by(outbox.c.id).limit(1) for condition in (is_new, is_refused)
)
_how_many_new, _how_many_refused = (
    select(func.count()).select_from(select(outbox.c.id).where(condition).limit(MOST_COUNTED + 1).subquery())
    for condition in (is_new, is_refused)
)
_is_waiting = dead_letter.c.state == DEAD
_how_many_letters = select(func.count()).select_from(
    select(dead_letter.c.id).where(_is_waiting).limit(MOST_COUNTED + 1).subquery()
)


class Waiting(NamedTuple):
    """Committed events that the broker has not taken, those of them that a full queue has refused, the age of the
    oldest, and the dead letters that wait for an operator."""

    unsent: int = 0
    refused: int = 0
    oldest_seconds: float = 0.0
    dead_letters: int = 0


class DatabaseGauges(PeriodicTask):
    """Counts in one service's database. The metrics show the last counts."""

    at_once = True

    def __init__(self, service: str, database: Database, metrics: Metrics) -> None:
        super().__init__(f"{service}-gauges")
        self._database = database
        self._counts = Waiting()
        label = ("service", service)
        metrics.gauge(
            "outbox_events", "Committed events that the broker has not taken.", label, lambda: self._counts.unsent
        )
        metrics.gauge("outbox_oldest_seconds", "Age of the oldest of them.", label, lambda: self._counts.oldest_seconds)
        refused = "Those of them that the full queue of a listener has refused."
        metrics.gauge("outbox_refused_events", refused, label, lambda: self._counts.refused)
        waiting = "Dead letters that were neither replayed nor discarded."
        metrics.gauge("dead_letters_waiting", waiting, label, lambda: self._counts.dead_letters)

    def pause(self) -> float:
        """The same between all counts."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Count once. Raises DatabaseUnavailable; the metrics keep showing the last counts then."""
        with self._database.reading() as transaction:
            self._counts = waiting_in(transaction.connection)


def waiting_in(connection: Connection) -> Waiting:
    """Count what waits in a service's database now."""
    refused = connection.execute(_how_many_refused).scalar_one()
    return Waiting(
        unsent=refused + connection.execute(_how_many_new).scalar_one(),
        refused=refused,
        oldest_seconds=_age_of_oldest(connection),
        dead_letters=connection.execute(_how_many_letters).scalar_one(),
    )


def _age_of_oldest(connection: Connection) -> float:
    rows = [row for each in (_oldest_new, _oldest_refused) if (row := connection.execute(each).one_or_none())]
    return max((max(0.0, (row.now - row.made_at).total_seconds()) for row in rows), default=0.0)
