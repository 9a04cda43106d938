"""Counting: how much is in queues, on either broker, for a person who looks."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from bus.messaging.broker_url import EMBEDDED
from bus.messaging.transport import QueueCounts

if TYPE_CHECKING:
    from bus.messaging.rabbitmq import Inspection


class QueueCounting:
    """Counts in the queues of one broker, over a connection that is made when it is needed. For one thread."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._inspection: Inspection | None = None

    def counts(self, queues: Iterable[str]) -> Mapping[str, QueueCounts]:
        """The counts of those queues that exist. Raises TransportFailure; the next call connects again."""
        # Imported here so that RabbitMQ needs no kombu and the embedded broker no pika.
        if self._url.startswith(EMBEDDED):
            from bus.messaging.memory import queue_counts

            return queue_counts(self._url, queues)
        if self._inspection is None:
            from bus.messaging.rabbitmq import Inspection

            self._inspection = Inspection(self._url)
        inspection, self._inspection = self._inspection, None  # a connection that fails is not used again
        found = inspection.all_counts(queues)
        self._inspection = inspection
        return found

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._inspection is not None:
            self._inspection.__exit__()
