"""Queue counts: asks the broker how many messages and consumers queues have, over an open connection."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from bus.messaging.rabbitmq.pika_connection import Connection
from bus.messaging.transport import QueueCounts

NOT_FOUND = 404


OnCounts = Callable[[Mapping[str, QueueCounts]], None]


class QueueCounter:
    """Asks for each queue once, on channels of its own, because a missing queue closes the channel. It counts as 0, 0.

    `on_counts` is called when all answers are there, and never if the connection is lost before.
    """

    def __init__(self, connection: Connection, queues: Sequence[str], on_counts: OnCounts) -> None:
        self._connection, self._on_counts = connection, on_counts
        self._to_ask = list(queues)
        self._counts: dict[str, QueueCounts] = {}
        self._ask_next()

    def _ask_next(self) -> None:
        if not self._to_ask:
            self._on_counts(self._counts)
        elif self._connection.is_open:
            self._connection.channel(on_open_callback=self._ask)

    def _ask(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        for queue in self._to_ask:
            channel.queue_declare(queue, passive=True, callback=partial(self._answered, channel, queue))

    def _answered(self, channel: Channel, queue: str, frame: Any) -> None:
        self._to_ask.remove(queue)
        self._counts[queue] = QueueCounts(frame.method.message_count, frame.method.consumer_count)
        if not self._to_ask:
            channel.close()
            self._ask_next()

    def _closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker) and reason.reply_code == NOT_FOUND and self._to_ask:
            self._counts[self._to_ask.pop(0)] = QueueCounts(0, 0)
            self._ask_next()
