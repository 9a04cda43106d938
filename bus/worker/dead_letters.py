"""Taking in: dead letters, from their queue into the service's database, where a person can look at them.

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
from bus.service.service import Service
from bus.telemetry.metrics import WorkerMetrics
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import INTERNAL_ERROR
from bus.worker.threads import ConsumerThreads, log_available, log_unavailable, wait_until_available

log = structlog.get_logger("bus.worker")


class DeadLetterConsumer:
    """Stores each letter, tells its caller if nobody has, and acknowledges it."""

    def __init__(
        self,
        service: Service,
        database: Database,
        dispatcher: Dispatcher,
        stopping: threading.Event,
        metrics: WorkerMetrics | None,
    ) -> None:
        self._service, self._database, self._dispatcher, self._stopping = service, database, dispatcher, stopping
        self._metrics = metrics

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:  # noqa: ARG002  # nothing waits at this lane
        """Raises Stopped."""
        now = datetime.now(UTC)
        letters = [read_dead_letter(delivery, self._service.operations, now) for delivery in batch]
        self._store(letters)
        for letter, delivery in zip(letters, batch, strict=True):
            word = last_word(letter, delivery.message, self._service.operations)
            if word is not None:
                self._dispatcher.send(word)
            name, trace_id = letter.operation, delivery.trace.trace_id
            log.warning("dead_letter", operation=name, id=letter.message_id, reason=letter.reason, trace_id=trace_id)
            if self._metrics is not None:
                self._metrics.dead_letter(self._known(name))
        self._dispatcher.acknowledge(batch)

    def _known(self, operation: str) -> str:
        """The name as a label: of what is no operation and no event of ours, anybody could bring any number."""
        is_known = operation in self._service.operations or operation in self._service.listeners
        return operation if is_known else "unknown"

    def _store(self, letters: Sequence[ReceivedDeadLetter]) -> None:
        while True:
            try:
                with self._database.transaction() as transaction:
                    store(transaction.connection, letters)
                return
            except DatabaseUnavailable as away:
                log_unavailable(self._service.name, len(letters), away)
                wait_until_available(self._database, self._stopping)
                log_available(self._service.name)


def last_word(letter: ReceivedDeadLetter, message: Message, operations: Operations) -> Message | None:
    """The reply to send for a letter that came in `message`; None when there is nobody to tell.

    Who waits for a command that a worker buried has been told by that worker.
    """
    operation = operations.get(letter.operation)
    if not letter.by_broker or operation is None or not operation.is_command:
        return None
    if not message.reply_to or not is_reply_address(message.reply_to):
        return None
    return EncodedReply.problem(INTERNAL_ERROR).to(message)
