"""Counting: what waits in queues and who consumes them, as the broker says."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from bus.messaging.rabbitmq.pika_connection import Connection

NOT_FOUND = 404


class Counts(NamedTuple):
    """How many messages wait in a queue, and how many consumers it has. Of a queue that is gone both are 0."""

    ready: int
    consumers: int


OnCounts = Callable[[Mapping[str, Counts]], None]


class Counting:
    """Asks once for each queue, on channels of its own: a queue that is gone closes the channel.

    `on_counts` is called when all is answered, and never if the connection is lost before.
    """

    def __init__(self, connection: Connection, queues: Sequence[str], on_counts: OnCounts) -> None:
        self._connection, self._on_counts = connection, on_counts
        self._left = list(queues)
        self._counts: dict[str, Counts] = {}
        self._go_on()

    def _go_on(self) -> None:
        if not self._left:
            self._on_counts(self._counts)
        elif self._connection.is_open:
            self._connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        for queue in self._left:
            channel.queue_declare(queue, passive=True, callback=partial(self._answered, channel, queue))

    def _answered(self, channel: Channel, queue: str, frame: Any) -> None:
        self._left.remove(queue)
        self._counts[queue] = Counts(frame.method.message_count, frame.method.consumer_count)
        if not self._left:
            channel.close()
            self._go_on()

    def _closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == NOT_FOUND and self._left:
            self._counts[self._left.pop(0)] = Counts(0, 0)
            self._go_on()
