"""The relay: sends the events of the outbox, once they are committed."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row

from bus import failpoints
from bus.database import outbox
from bus.database.engine import Database, DatabaseUnavailable
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all, taken_in_order
from bus.messaging.trace_context import Trace
from bus.messaging.transport import Transport, TransportFailure
from bus.telemetry.spans import Spans, attributes_of, sent

# After a commit, the events of a moment are sent together: one look and one mark for all of them. With a fifth of
# this, creates took a tenth more of the worker's time.
GATHER_SECONDS = 0.1
# What a worker leaves behind when it dies is sent by another within this time, or by its successor.
LOOK_SECONDS = 1.0
MAX_EVENTS = 500
CONFIRM_SECONDS = 5.0

log = structlog.get_logger("bus.relay")


class OutboxRelay:
    """A thread that sends what is committed, until it is stopped. `failure` is why it ended before."""

    def __init__(self, service: str, transport: Transport, database: Database, spans: Spans | None = None) -> None:
        self._service, self._transport, self._database, self._spans = service, transport, database, spans
        self._committed = threading.Event()
        self._stopping = threading.Event()
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"{service}-relay", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def wake(self) -> None:
        """Events were committed."""
        self._committed.set()

    def stop(self, seconds: float) -> None:
        """Send what is committed, if the broker takes it, and end; takes at most about `seconds`."""
        self._stopping.set()
        self._committed.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                if self._committed.wait(LOOK_SECONDS):
                    self._stopping.wait(GATHER_SECONDS)
                    self._committed.clear()
                self._send_all()
        except Exception as error:
            # A defect of ours. Going on without this thread would look alive and send nothing.
            log.exception("relay_failed", service=self._service)
            self.failure = error

    def _send_all(self) -> None:
        try:
            while self._transport.wait_until_ready(0) and self._send_some():
                pass
        except (DatabaseUnavailable, TransportFailure):  # told by those whose work it stops
            self._stopping.wait(LOOK_SECONDS)

    def _send_some(self) -> bool:
        """Whether there may be more."""
        with self._database.transaction() as transaction:
            rows = outbox.unsent(transaction.connection, MAX_EVENTS)
            if self._database.kind == "sqlite":
                transaction.connection.commit()  # else nobody could write until the broker has answered
            if not rows:
                return False
            begun, hops = time.monotonic(), [self._hop_of(row) for row in rows]
            messages = [outbox.message_of(row, hop) for row, hop in zip(rows, hops, strict=True)]
            outcomes = publish_all(self._transport, messages, CONFIRM_SECONDS)
            failpoints.reach("relay.before-mark")
            # In order: what comes after one that was not taken is sent again, behind it.
            taken = taken_in_order(outcomes)
            if taken:
                outbox.mark_sent(transaction.connection, [row.id for row in rows[:taken]])
        self._tell(list(zip(messages, hops, strict=True))[:taken], begun)
        if taken < len(rows):
            log.warning("events_not_confirmed", service=self._service, outcome=outcomes[taken].name)
            self._stopping.wait(LOOK_SECONDS)
        return taken == MAX_EVENTS

    def _hop_of(self, row: Row[Any]) -> Trace:
        hop = outbox.hop_of(row)
        return hop if self._spans is None else self._spans.decided(hop)

    def _tell(self, sent_messages: Sequence[tuple[Message, Trace]], begun: float) -> None:
        if self._spans is None:
            return
        for message, hop in sent_messages:
            self._spans.record(sent(message.queue, hop, begun, attributes_of(message)))
