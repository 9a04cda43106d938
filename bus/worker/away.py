"""Away: waiting for a database that cannot be reached."""

import threading

import structlog

from bus.database.engine import Database, DatabaseAway
from bus.worker.threads import Stopped

# How often the database is asked whether it is back.
PROBE_SECONDS = 0.5

log = structlog.get_logger("bus.worker")


def tell_away(service: str, waiting: int, away: DatabaseAway) -> None:
    """One line for the log; `waiting` messages are kept."""
    log.warning("database_away", service=service, waiting=waiting, reason=str(away)[:200])


def tell_back(service: str) -> None:
    """One line for the log."""
    log.info("database_back", service=service)


def wait_for(database: Database, stopping: threading.Event) -> None:
    """Return when the database answers. Raises Stopped when the worker stops before."""
    while not database.answers():
        if stopping.wait(PROBE_SECONDS):
            raise Stopped
