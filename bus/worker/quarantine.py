"""The quarantine: messages that a worker may have died of, each carried out alone.

One message of it is in hand at a time, so one that kills again takes no other along. The broker counts, and
moves it to the dead letters after a few deaths.
"""

from collections.abc import Mapping, Sequence

from msgspec import structs

from bus.dead_letters.body import Operations, body_to_keep
from bus.messaging.message import Delivery
from bus.messaging.redelivery import original
from bus.worker.dispatcher import Dispatcher
from bus.worker.threads import BatchHandler, ConsumerThreads


class Quarantine:
    """Hands each message to those who work off the queue it came from: `handlers_by_queue`, by queue."""

    def __init__(
        self, handlers_by_queue: Mapping[str, BatchHandler], operations: Operations, dispatcher: Dispatcher
    ) -> None:
        self._handlers_by_queue, self._operations, self._dispatcher = handlers_by_queue, operations, dispatcher

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        """Raises Stopped."""
        self._dispatcher.wait_until_quarantined()
        for delivery in batch:
            there = structs.replace(delivery, message=original(delivery.message), deaths=0)
            handler = self._handlers_by_queue.get(there.message.queue)
            if handler is None:
                self._dead_letter(delivery)
            else:
                handler([there], threads)

    def _dead_letter(self, delivery: Delivery) -> None:
        """Nothing of ours: somebody published it straight into the quarantine."""
        body, _ = body_to_keep(delivery.message, "", self._operations)
        self._dispatcher.dead_letter(delivery, body, "unknown-operation", "It names no queue of this service.")
        self._dispatcher.acknowledge([delivery])
        self._dispatcher.record("dead_lettered", delivery, code="unknown-operation")
