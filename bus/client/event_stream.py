"""Watching: events shown as they are published, to somebody whom nobody waits for."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from bus.messaging.message import Delivery, Message
from bus.messaging.topology import stream_queue
from bus.messaging.transport import Transport, TransportFailure, TransportOptions

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
# Between two looks at whether to stop.
LOOK_SECONDS = 0.2
# What is on its way to a slow terminal; the rest waits at the broker.
PREFETCH = 100


class EventStream:
    """The events whose names match a pattern of the topic exchange, from when it was opened on.

    Those that are published while the connection is lost are missed.
    """

    def __init__(self, transport: Transport, pattern: str) -> None:
        self._transport, self._queue = transport, stream_queue(pattern)
        self._heard: SimpleQueue[Delivery] = SimpleQueue()

    def open(self) -> None:
        """Begin to listen. Raises TransportFailure when the broker cannot be reached now."""
        queue = self._queue
        options = TransportOptions(declares=[queue], consumes=[queue], prefetch=PREFETCH, on_delivery=self._heard.put)
        self._transport.open(options)
        if not self._transport.wait_until_ready(CONNECT_SECONDS):
            raise TransportFailure(f"{self._transport.describe()} cannot be reached.")

    def events(self, stopping: threading.Event) -> Iterator[tuple[Message, datetime]]:
        """Each event with the time it was received, until `stopping` is set. Raises TransportFailure."""
        while not stopping.is_set():
            if failure := self._transport.failure:
                raise failure
            try:
                delivery = self._heard.get(timeout=LOOK_SECONDS)
            except Empty:
                continue
            yield delivery.message, datetime.now(UTC)
            self._transport.acknowledge([delivery])

    def close(self) -> None:
        """End it, and with it the queue."""
        self._transport.close(CLOSE_SECONDS)
