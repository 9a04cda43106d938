"""The quarantine: messages that a worker may have died of, each carried out alone.

A worker takes one message of it at a time, so one that kills again takes no other along. The broker counts the deaths,
and moves the message to the dead letters after a few.
"""

from collections.abc import Mapping, Sequence

from msgspec import structs

from bus.dead_letters.body import Operations, body_to_keep
from bus.messaging.message import Delivery
from bus.messaging.redelivery import original
from bus.messaging.transport import Transport
from bus.worker.dispatcher import Dispatcher
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import BatchHandler, ConsumerThreads


class Quarantine:
    """Gives each message to the handler of the queue that it came from."""

    def __init__(
        self,
        handlers_by_queue: Mapping[str, BatchHandler],
        operations: Operations,
        transport: Transport,
        dispatcher: Dispatcher,
        telemetry: MessageTelemetry,
    ) -> None:
        self._handlers_by_queue, self._operations = handlers_by_queue, operations
        self._transport, self._dispatcher, self._telemetry = transport, dispatcher, telemetry

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        """Raises Stopped."""
        self._dispatcher.wait_until_quarantined()
        for delivery in batch:
            in_its_queue = structs.replace(delivery, message=original(delivery.message), deaths=0)
            handle = self._handlers_by_queue.get(in_its_queue.message.queue)
            if handle is None:
                self._dead_letter(delivery)
            else:
                handle([in_its_queue], threads)

    def _dead_letter(self, delivery: Delivery) -> None:
        """A message that a publisher put straight into the quarantine."""
        body, _ = body_to_keep(delivery.message, "", self._operations)
        self._dispatcher.dead_letter(delivery, body, "unknown-operation", "It names no queue of this service.")
        self._transport.acknowledge([delivery])
        self._telemetry.record("dead_lettered", delivery, code="unknown-operation")
