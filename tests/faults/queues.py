"""The queues of a vhost, seen and used with pika alone, as a program of somebody else would."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

LOGIN_SECONDS = 5.0


class Queues:
    """Questions about queues, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def consumers(self, queue: str) -> int:
        """How many consumers a queue has; 0 for one that is missing or cannot be asked now."""
        return int(getattr(self._declared(queue), "consumer_count", 0))

    def length(self, queue: str) -> int:
        """How many messages wait in a queue; 0 for one that is missing or cannot be asked now."""
        return int(getattr(self._declared(queue), "message_count", 0))

    def delete(self, queue: str) -> None:
        """Delete a queue with all that is in it."""
        with channel(self._url) as opened:
            opened.queue_delete(queue)

    def has_exchange(self, name: str) -> bool:
        """Whether an exchange is there."""
        with channel(self._url) as opened:
            try:
                opened.exchange_declare(name, passive=True)
            except ChannelClosedByBroker:
                return False
        return True

    def message_ids(self, queue: str) -> list[str]:
        """The ids of the messages that wait in a queue; they stay there."""
        ids: list[str] = []
        with channel(self._url) as opened:
            while True:
                method, properties, _ = opened.basic_get(queue)  # never acknowledged: all go back at the end
                if method is None:
                    return ids
                ids.append(properties.message_id or "")

    def _declared(self, queue: str) -> Any:
        with suppress(AMQPError, OSError), channel(self._url) as opened, suppress(ChannelClosedByBroker):
            return opened.queue_declare(queue, passive=True).method
        return None


@contextmanager
def channel(url: str) -> Iterator[BlockingChannel]:
    """A channel for the block."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = LOGIN_SECONDS
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        with suppress(AMQPError):  # the broker was faster
            connection.close()
