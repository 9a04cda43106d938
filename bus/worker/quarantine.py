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
from bus.worker.threads import Arrivals, BatchHandler


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

    def handle_batch(self, batch: Sequence[Delivery], threads: Arrivals) -> None:
        """Raises Stopped."""
        self._dispatcher.wait_until_quarantined()
        for delivery in batch:
            if (in_its_queue := self.in_its_queue(delivery)) is not None:
                handle = self._handlers_by_queue[in_its_queue.message.queue]
                handle([in_its_queue], _ArrivalsInTheirQueues(self, threads))

    def in_its_queue(self, delivery: Delivery) -> Delivery | None:
        """A delivery as if it had come from its own queue; None for one that has none, which is a dead letter."""
        message = original(delivery.message)
        if message.queue not in self._handlers_by_queue:
            self._dead_letter(delivery)
            return None
        # How often it came back counts here; that it did so at all is for those who wait for a database with it.
        deaths = min(delivery.deaths, 1) if self._operations[message.queue].is_durable else 0
        return structs.replace(delivery, message=message, deaths=deaths)

    def _dead_letter(self, delivery: Delivery) -> None:
        """A message that a publisher put straight into the quarantine."""
        body, _ = body_to_keep(delivery.message, "", self._operations)
        self._dispatcher.dead_letter(delivery, body, "unknown-operation", "It names no queue of this service.")
        self._transport.acknowledge([delivery])
        self._telemetry.record("dead_lettered", delivery, code="unknown-operation")


class _ArrivalsInTheirQueues:
    """For a handler that waits: it knows its own queues, and not the quarantine."""

    def __init__(self, quarantine: Quarantine, threads: Arrivals) -> None:
        self._quarantine, self._threads = quarantine, threads
        self.put = threads.put

    def next(self, seconds: float) -> Delivery | None:
        """What arrives within `seconds`. Raises Stopped."""
        delivery = self._threads.next(seconds)
        return delivery and self._quarantine.in_its_queue(delivery)
