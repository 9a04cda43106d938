"""The outbox relay: sends the events of the outbox, once they are committed.

No transaction is open while the broker is asked. A lease keeps the relays of several workers apart. Events that the
full queue of a listener refused do not stop the others: they are tried again after a growing pause, one at first, then
twice as many each time, so that the listeners that took them already get few of them again.
"""

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import structlog
from sqlalchemy import Row

from bus import failpoints
from bus.contract.builtin import is_send
from bus.contract.identity import service_caller
from bus.database import leases, outbox
from bus.database.engine import Database
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all
from bus.messaging.trace_context import Trace
from bus.messaging.transport import PublishOutcome, Transport, TransportFailure
from bus.security.service_keys import LetterKey
from bus.security.vouching import vouch
from bus.telemetry.spans import Spans, attributes_of, sent
from bus.worker.background.periodic import PeriodicTask

# After a commit the relay waits this long, so that the events of a moment cost one look and one mark together. With a
# fifth of this, creates took a tenth more of the worker's time.
GATHER_SECONDS = 0.1
# What is left behind when a worker ends between two batches is sent by another within this time, or by its successor.
LOOK_SECONDS = 1.0
MAX_EVENTS = 500
CONFIRM_SECONDS = 5.0
LEASE = "outbox"
# Longer than one batch takes. A relay that dies with the lease delays the events of all workers for as long.
LEASE_SECONDS = 2 * CONFIRM_SECONDS
# While another relay sends: it may not have seen what was committed here.
HELD_SECONDS = 0.2
# Before refused events are tried again: at first, and at most.
REFUSED_SECONDS, LONGEST_REFUSED_SECONDS = 1.0, 60.0

log = structlog.get_logger("bus.relay")


class OutboxRelay(PeriodicTask):
    """Sends the events that are committed; `wake` it after a commit. Ends with a last run.

    Several workers may relay for one service: see `bus.database.outbox`.
    """

    at_stop = True

    def __init__(
        self, service: str, transport: Transport, database: Database, key: LetterKey, spans: Spans | None = None
    ) -> None:
        super().__init__(f"{service}-relay")
        self._service, self._transport, self._database, self._spans = service, transport, database, spans
        self._key = key
        self._holder, self._holds_lease = uuid4().hex, False
        self._retry_at, self._retry_pause, self._retry_events = 0.0, REFUSED_SECONDS, 1

    def pause(self) -> float:
        """What a worker that died has left behind is sent within this time."""
        return LOOK_SECONDS

    def run_once(self) -> None:
        """Send all that is committed, if the broker accepts it."""
        self.stopping.wait(GATHER_SECONDS)
        try:
            while time.monotonic() >= self._retry_at and self._send_some(self._retry_events, refused=True):
                pass
            while self._send_some(MAX_EVENTS, refused=False):
                pass
        except TransportFailure:  # reported by the worker, which ends with it
            self.stopping.wait(LOOK_SECONDS)

    def _send_some(self, most: int, *, refused: bool) -> bool:
        """Send one batch; True when there may be more to send now."""
        if not self._transport.wait_until_ready(0):
            return False
        with self._database.reading() as transaction:
            if not outbox.has_unsent(transaction.connection, refused=refused):
                self._give_back()
                return False
        begun = time.monotonic()
        with self._database.transaction() as transaction:
            is_held = leases.claim(transaction.connection, LEASE, self._holder, LEASE_SECONDS)
            rows = outbox.unsent(transaction.connection, most, refused=refused) if is_held else ()
        if not is_held:  # another relay sends now
            return not self.stopping.wait(HELD_SECONDS)
        if time.monotonic() - begun > LEASE_SECONDS - CONFIRM_SECONDS:
            return True  # it stood still since, so the lease may end while it sends
        hops = [self._hop_of(row) for row in rows]
        messages = [self._signed(outbox.message_of(row, hop)) for row, hop in zip(rows, hops, strict=True)]
        outcomes = publish_all(self._transport, messages, CONFIRM_SECONDS)
        failpoints.reach("relay.before-mark")
        settled = _settled(outcomes)
        places = range(len(rows) if refused else settled)
        taken = [place for place in places if outcomes[place] is PublishOutcome.CONFIRMED]
        full = [place for place in places if outcomes[place] is PublishOutcome.FULL]
        is_last = len(rows) < most or settled < len(rows) or (refused and bool(full))
        if not self._mark([rows[place].id for place in taken], [] if refused else [rows[n].id for n in full], is_last):
            return True
        self._record([(messages[place], hops[place]) for place in taken], begun)
        return self._goes_on(outcomes, settled, bool(full), is_last=is_last, refused=refused)

    def _mark(self, sent_ids: Sequence[int], refused_ids: Sequence[int], is_last: bool) -> bool:
        """Mark what was sent and refused; False if the lease ended and another relay has gone on from there."""
        with self._database.transaction() as transaction:
            if not leases.claim(transaction.connection, LEASE, self._holder, LEASE_SECONDS):
                log.warning("relay_lease_lost", service=self._service, count=len(sent_ids))
                return False
            if sent_ids:
                outbox.mark_sent(transaction.connection, sent_ids)
            if refused_ids:
                outbox.mark_refused(transaction.connection, refused_ids)
            if is_last:
                leases.release(transaction.connection, LEASE, self._holder)
        self._holds_lease = not is_last
        return True

    def _give_back(self) -> None:
        if self._holds_lease:
            with self._database.transaction() as transaction:
                leases.release(transaction.connection, LEASE, self._holder)
            self._holds_lease = False

    def _goes_on(
        self, outcomes: Sequence[PublishOutcome], settled: int, any_full: bool, *, is_last: bool, refused: bool
    ) -> bool:
        """Whether the next batch may be sent now; sets when refused events are tried again."""
        if settled < len(outcomes):
            log.warning("events_not_confirmed", service=self._service, outcome=outcomes[settled].name)
            self.stopping.wait(LOOK_SECONDS)
            return False
        if any_full:
            if refused or self._retry_at == 0.0:
                log.warning("events_refused", service=self._service, seconds=self._retry_pause)
                self._retry_at = time.monotonic() + self._retry_pause
                self._retry_pause = min(2 * self._retry_pause, LONGEST_REFUSED_SECONDS)
            self._retry_events = 1
            return not (is_last or refused)
        if refused:
            self._retry_at, self._retry_pause = 0.0, REFUSED_SECONDS
            self._retry_events = min(2 * self._retry_events, MAX_EVENTS)
        return not is_last

    def _signed(self, message: Message) -> Message:
        """A sent command acts in the name of the service, so its worker must know that the service has sent it."""
        if not is_send(message.queue):
            return message
        return vouch(message, service_caller(self._service), self._key.read())

    def _hop_of(self, row: Row[Any]) -> Trace:
        hop = outbox.hop_of(row)
        return hop if self._spans is None else self._spans.decided(hop)

    def _record(self, sent_messages: Sequence[tuple[Message, Trace]], begun: float) -> None:
        if self._spans is None:
            return
        for message, hop in sent_messages:
            self._spans.record(sent(message.queue, hop, begun, attributes_of(message)))


def _settled(outcomes: Sequence[PublishOutcome]) -> int:
    """How many events come before the first that may have reached no queue: from there on all is sent again."""
    known = (PublishOutcome.CONFIRMED, PublishOutcome.FULL)
    return next((place for place, outcome in enumerate(outcomes) if outcome not in known), len(outcomes))
