"""Dead letters: from their queue into the service's database, where an operator can look at them.

A queue cannot be browsed without changing it.
"""

import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import structlog

from bus.contract.names import is_reply_address
from bus.database.engine import Database
from bus.dead_letters.body import Operations
from bus.dead_letters.reading import read_dead_letter, unreadable
from bus.dead_letters.store import ReceivedDeadLetter, store
from bus.messaging.message import Delivery, Message
from bus.messaging.replies import EncodedReply
from bus.messaging.transport import Transport
from bus.security.service_keys import LetterKey
from bus.service.service import Service
from bus.telemetry.metrics import Metrics
from bus.worker.handler_runs import INTERNAL_ERROR
from bus.worker.threads import Arrivals, DatabaseWaits, Stopped

log = structlog.get_logger("bus.worker")


Read = Callable[[Delivery], ReceivedDeadLetter]
StoredLetters = list[tuple[ReceivedDeadLetter, Delivery]]

# A conflict in the database passes. A letter that still fails after these pauses, in seconds, is the cause itself.
PAUSES = (0.1, 0.5, 2.0)


class DeadLetterConsumer:
    """Stores each dead letter, answers its caller if no worker has, and acknowledges it."""

    def __init__(
        self,
        service: Service,
        database: Database,
        transport: Transport,
        letter_key: LetterKey,
        stopping: threading.Event,
        waits: DatabaseWaits,
        metrics: Metrics | None,
    ) -> None:
        self._service, self._operations, self._listeners = service.name, service.operations, service.listeners
        self._database, self._transport, self._letter_key = database, transport, letter_key
        self._stopping, self._waits, self._metrics = stopping, waits, metrics

    def handle_batch(self, batch: Sequence[Delivery], _threads: Arrivals) -> None:
        """Store them all together, or, when that fails, each on its own. Raises Stopped.

        A letter that cannot be stored in any form stays in its queue, where the gauge `dead_letters_queued` counts it.
        """
        stored = self._stored(batch, self._read)
        if stored is None:
            stored = [each for delivery in batch for each in self._stored_alone(delivery)]
        for letter, delivery in stored:
            reply = last_reply(letter, delivery, self._operations)
            if reply is not None:
                self._transport.publish(reply)
            name, trace_id = letter.operation, delivery.trace.trace_id
            log.warning("dead_letter", operation=name, id=letter.message_id, reason=letter.reason, trace_id=trace_id)
            if self._metrics is not None:
                # Anyone could publish letters of any number of names, which would each be a series of the metrics.
                is_known = name in self._operations or name in self._listeners
                self._metrics.dead_letters[name if is_known else "unknown",].inc()
        self._transport.acknowledge([delivery for _, delivery in stored])

    def _stored_alone(self, delivery: Delivery) -> StoredLetters:
        for pause in PAUSES:
            if (stored := self._stored([delivery], self._read)) is not None:
                return stored
            if self._stopping.wait(pause):
                raise Stopped
        stored = self._stored([delivery], _unreadable)
        if stored is None:
            log.error("dead_letter_not_stored", service=self._service, trace_id=delivery.trace.trace_id)
        return stored or []

    def _stored(self, batch: Sequence[Delivery], read: Read) -> StoredLetters | None:
        """The letters of a batch, stored in one transaction; None when that failed. Raises Stopped."""

        def store_all() -> StoredLetters:
            letters = [read(delivery) for delivery in batch]
            with self._database.transaction() as transaction:
                store(transaction.connection, letters)
            return list(zip(letters, batch, strict=True))

        try:
            return self._waits.until_done(store_all, len(batch))
        except Stopped:
            raise
        except Exception as error:
            # Anyone can publish to this queue. Whatever one message does, the worker goes on with the others.
            # The error's text may quote it, with a secret, and is left out.
            frames = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
            log.error("dead_letters_rejected", service=self._service, count=len(batch), exception=frames)
            return None

    def _read(self, delivery: Delivery) -> ReceivedDeadLetter:
        return read_dead_letter(delivery, self._operations, datetime.now(UTC), self._letter_key.read())


def _unreadable(delivery: Delivery) -> ReceivedDeadLetter:
    return unreadable(delivery, datetime.now(UTC))


def last_reply(letter: ReceivedDeadLetter, delivery: Delivery, operations: Operations) -> Message | None:
    """The reply for the caller of a command that the broker gave up; None when there is no caller to answer.

    A worker that makes a command a dead letter answers the caller itself.
    """
    operation = operations.get(letter.operation)
    if not letter.by_broker or operation is None or not operation.is_durable:
        return None
    message = delivery.message
    if not message.reply_to or not is_reply_address(message.reply_to):
        return None
    return EncodedReply.problem(INTERNAL_ERROR, delivery.trace).to(message)
