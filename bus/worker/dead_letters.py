"""Dead letters: from their queue into the service's database, where an operator can look at them.

A queue cannot be browsed without changing it.
"""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from bus.contract.names import is_reply_address
from bus.database.engine import Database, DatabaseUnavailable
from bus.dead_letters.body import Operations
from bus.dead_letters.reading import read_dead_letter
from bus.dead_letters.store import ReceivedDeadLetter, store
from bus.messaging.message import Delivery, Message
from bus.messaging.replies import EncodedReply
from bus.messaging.transport import Transport
from bus.service.service import Service
from bus.telemetry.metrics import WorkerMetrics
from bus.worker.execution import INTERNAL_ERROR
from bus.worker.threads import ConsumerThreads, log_available, log_unavailable, wait_until_available

log = structlog.get_logger("bus.worker")


class DeadLetterConsumer:
    """Stores each dead letter, answers its caller if no worker has, and acknowledges it."""

    def __init__(
        self,
        service: Service,
        database: Database,
        transport: Transport,
        stopping: threading.Event,
        metrics: WorkerMetrics | None,
    ) -> None:
        self._service, self._operations, self._listeners = service.name, service.operations, service.listeners
        self._database, self._transport, self._stopping, self._metrics = database, transport, stopping, metrics

    def handle_batch(self, batch: Sequence[Delivery], _threads: ConsumerThreads) -> None:
        """Raises Stopped."""
        now = datetime.now(UTC)
        letters = [read_dead_letter(delivery, self._operations, now) for delivery in batch]
        self._store(letters)
        for letter, delivery in zip(letters, batch, strict=True):
            reply = last_reply(letter, delivery, self._operations)
            if reply is not None:
                self._transport.publish(reply)
            name, trace_id = letter.operation, delivery.trace.trace_id
            log.warning("dead_letter", operation=name, id=letter.message_id, reason=letter.reason, trace_id=trace_id)
            if self._metrics is not None:
                # Anyone could publish letters of any number of names, which would each be a series of the metrics.
                is_known = name in self._operations or name in self._listeners
                self._metrics.dead_letter(name if is_known else "unknown")
        self._transport.acknowledge(batch)

    def _store(self, letters: Sequence[ReceivedDeadLetter]) -> None:
        while True:
            try:
                with self._database.transaction() as transaction:
                    store(transaction.connection, letters)
                return
            except DatabaseUnavailable as error:
                log_unavailable(self._service, len(letters), error)
                wait_until_available(self._database, self._stopping)
                log_available(self._service)


def last_reply(letter: ReceivedDeadLetter, delivery: Delivery, operations: Operations) -> Message | None:
    """The reply for the caller of a command that the broker gave up; None when there is no caller to answer.

    A worker that makes a command a dead letter answers the caller itself.
    """
    operation = operations.get(letter.operation)
    if not letter.by_broker or operation is None or not operation.is_command:
        return None
    message = delivery.message
    if not message.reply_to or not is_reply_address(message.reply_to):
        return None
    return EncodedReply.problem(INTERNAL_ERROR, delivery.trace).to(message)
