"""The event stream: events shown to an operator as they are published. It may miss some: delivery is not guaranteed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue

from bus.messaging.connect import connected
from bus.messaging.message import Delivery, Message
from bus.messaging.topology import stream_queue
from bus.messaging.transport import Transport, TransportOptions, is_connected

# Between two checks whether to stop.
STOP_CHECK_SECONDS = 0.2
# How many events may be on their way to a slow terminal; the others wait in the broker.
PREFETCH = 100


class EventStream:
    """Events from the time it was opened on. Those that are published while the connection is lost are missed."""

    def __init__(self, transport: Transport, deliveries: SimpleQueue[Delivery]) -> None:
        self._transport, self._deliveries = transport, deliveries

    @property
    def broker(self) -> str:
        """The broker in a few words, without credentials."""
        return self._transport.describe()

    @property
    def is_connected(self) -> bool:
        """Whether events come now; it connects again by itself."""
        return is_connected(self._transport)

    def events(self, is_over: Callable[[], bool]) -> Iterator[tuple[Message, datetime]]:
        """Each event with the time it was received, until `is_over()`. Raises TransportFailure."""
        while not is_over():
            if failure := self._transport.failure:
                raise failure
            try:
                delivery = self._deliveries.get(timeout=STOP_CHECK_SECONDS)
            except Empty:
                continue
            yield delivery.message, datetime.now(UTC)
            self._transport.acknowledge([delivery])


@contextmanager
def event_stream(url: str, *patterns: str) -> Iterator[EventStream]:
    """The events whose names match a pattern, a binding key of a topic exchange; its queue ends with the block.

    Raises TransportFailure when the broker cannot be reached or refuses the queue.
    """
    queue, deliveries = stream_queue(*patterns), SimpleQueue[Delivery]()
    options = TransportOptions(declares=[queue], consumes=[queue], prefetch=PREFETCH, on_delivery=deliveries.put)
    with connected(url, "bus-events-tail", options) as transport:
        yield EventStream(transport, deliveries)
