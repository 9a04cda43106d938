"""The outbox relay: sends the events of the outbox, once they are committed."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Row

from bus import failpoints
from bus.database import outbox
from bus.database.engine import Database
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all, taken_in_order
from bus.messaging.trace_context import Trace
from bus.messaging.transport import Transport, TransportFailure
from bus.telemetry.spans import Spans, attributes_of, sent
from bus.worker.background.periodic import PeriodicTask

# After a commit the relay waits this long, so that the events of a moment cost one look and one mark together. With a
# fifth of this, creates took a tenth more of the worker's time.
GATHER_SECONDS = 0.1
# What a worker leaves behind when it dies is sent by another within this time, or by its successor.
LOOK_SECONDS = 1.0
MAX_EVENTS = 500
CONFIRM_SECONDS = 5.0

log = structlog.get_logger("bus.relay")


class OutboxRelay(PeriodicTask):
    """Sends the events that are committed; `wake` it after a commit. Ends with a last run.

    Several workers may relay for one service: see `bus.database.outbox`.
    """

    at_stop = True

    def __init__(self, service: str, transport: Transport, database: Database, spans: Spans | None = None) -> None:
        super().__init__(f"{service}-relay")
        self._service, self._transport, self._database, self._spans = service, transport, database, spans

    def pause(self) -> float:
        """What a worker that died has left behind is sent within this time."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Send all that is committed, if the broker accepts it."""
        self.stopping.wait(GATHER_SECONDS)
        try:
            while self._transport.wait_until_ready(0) and self._send_some():
                pass
        except TransportFailure:  # reported by the worker, which ends with it
            self.stopping.wait(LOOK_SECONDS)

    def _send_some(self) -> bool:
        """Send one batch; True when there may be more."""
        with self._database.transaction() as transaction:
            rows = outbox.unsent(transaction.connection, MAX_EVENTS)
            if self._database.kind == "sqlite":
                transaction.connection.commit()  # or no other could write until the broker has answered
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
        self._record(list(zip(messages, hops, strict=True))[:taken], begun)
        if taken < len(rows):
            log.warning("events_not_confirmed", service=self._service, outcome=outcomes[taken].name)
            self.stopping.wait(LOOK_SECONDS)
        return taken == MAX_EVENTS

    def _hop_of(self, row: Row[Any]) -> Trace:
        hop = outbox.hop_of(row)
        return hop if self._spans is None else self._spans.decided(hop)

    def _record(self, sent_messages: Sequence[tuple[Message, Trace]], begun: float) -> None:
        if self._spans is None:
            return
        for message, hop in sent_messages:
            self._spans.record(sent(message.queue, hop, begun, attributes_of(message)))
