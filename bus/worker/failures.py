"""Failures: each try at which a handler failed is written down for operators. A success writes nothing."""

import math
import os
import socket
import threading
import time
from collections import Counter

import structlog
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from bus.database.clock import sql_now
from bus.database.engine import Database
from bus.database.tables import failed_attempt
from bus.database.trouble import DatabaseUnavailable
from bus.dead_letters.envelope import MAX_DETAIL, MAX_TRACEBACK_BYTES
from bus.dead_letters.reading import MAX_NAME
from bus.messaging.headers import lines, one_line
from bus.messaging.message import Delivery
from bus.worker.handler_runs import HandlerFailed

# Of one operation: a handler that always fails must not slow down the others, nor crowd out what they have left. The
# log has all.
MOST_A_SECOND = 10
# A try waits no longer than this for another transaction, and after trouble nothing is written for a while: messages
# must not wait for what is only written down.
LOCK_SECONDS = 0.2
TROUBLE_SECONDS = 10.0

log = structlog.get_logger("bus.worker")


class FailureRecord:
    """Writes down the failed tries of one worker. Safe to use from many threads."""

    def __init__(self, service: str, database: Database) -> None:
        self._service, self._database = service, database
        self._worker = one_line(f"{socket.gethostname()} (process {os.getpid()})", MAX_NAME)
        self._lock, self._second, self._in_second = threading.Lock(), 0, Counter[str]()
        self._silent_until = -math.inf

    def add(
        self, delivery: Delivery, failed: HandlerFailed, operation: str, caller: str, number: int, pause: int | None
    ) -> None:
        """Write down a try that has failed now; the next one comes after `pause` seconds, None for the last.

        `caller` is the recorded one. Trouble with the database changes nothing for the message.
        """
        if not self._has_room(operation):
            return
        row = {
            "message_id": delivery.message.message_id,
            "caller": caller,
            "operation": operation,
            "number": number,
            "failed_at": sql_now(),
            "worker": self._worker,
            "error_class": one_line(failed.error_class, MAX_NAME),
            "detail": one_line(" ".join(failed.message.split()), MAX_DETAIL),
            "traceback": lines(failed.traceback, MAX_TRACEBACK_BYTES),
            "trace_id": delivery.trace.trace_id,
            "retry_seconds": pause,
        }
        try:
            with self._database.transaction(LOCK_SECONDS) as transaction:
                transaction.connection.execute(insert(failed_attempt).values(row))
        except (DatabaseUnavailable, DBAPIError) as error:
            # The class says what it is; the text of a driver could hold data.
            reason = error.sentence if isinstance(error, DatabaseUnavailable) else type(error.orig).__name__
            log.warning("failure_not_stored", service=self._service, operation=operation, reason=reason)
            self._silent_until = time.monotonic() + TROUBLE_SECONDS

    def _has_room(self, operation: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if int(now) != self._second:
                self._second = int(now)
                self._in_second.clear()
            self._in_second[operation] += 1
            return now >= self._silent_until and self._in_second[operation] <= MOST_A_SECOND
