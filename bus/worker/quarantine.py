"""The quarantine: messages that a worker may have died of, each carried out alone.

One message of it is in hand at a time, so one that kills again takes no other along. The broker counts, and
moves it to the dead letters after a few deaths.
"""

from collections.abc import Mapping, Sequence

from msgspec import structs

from bus.dead_letters.body import Operations, body_to_keep
from bus.messaging.message import Delivery
from bus.messaging.redelivery import original
from bus.worker.dispatcher import Outgoing
from bus.worker.threads import Lane, WorkOff


class Quarantine:
    """Hands each message to those who work off the queue it came from: `desks`, by queue."""

    def __init__(self, desks: Mapping[str, WorkOff], operations: Operations, outgoing: Outgoing) -> None:
        self._desks, self._operations, self._outgoing = desks, operations, outgoing

    def work_off(self, batch: Sequence[Delivery], lane: Lane) -> None:
        """Raises Stopped."""
        self._outgoing.wait_until_set_apart()
        for delivery in batch:
            there = structs.replace(delivery, message=original(delivery.message), deaths=0)
            desk = self._desks.get(there.message.queue)
            if desk is None:
                self._bury(delivery)
            else:
                desk([there], lane)

    def _bury(self, delivery: Delivery) -> None:
        """Nothing of ours: somebody published it straight into the quarantine."""
        body, _ = body_to_keep(delivery.message, "", self._operations)
        self._outgoing.bury(delivery, body, "unknown-operation", "It names no queue of this service.")
        self._outgoing.acknowledge([delivery])
        self._outgoing.tell("buried", delivery, code="unknown-operation")
