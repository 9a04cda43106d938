"""The inspection: what the broker has, and what it lets us do, found out without changing anything."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker, ConnectionBlockedTimeout

from bus.messaging.rabbitmq.reconnecting import hopeless, parameters_for
from bus.messaging.topology import Queue
from bus.messaging.transport import TransportFailure

# A broker that takes no messages says so at once, and then reads nothing that we send.
BLOCKED_SECONDS = 3.0

_PRECONDITION_FAILED = 406
# Nobody's name: a message that claims to come from this user is refused, after the permission was looked at
# (RabbitMQ, "Validated User-ID"). So nothing is ever delivered.
_NOBODY = "nobody of this broker"


class Seen(NamedTuple):
    """A queue as the broker has it: messages that wait, and consumers."""

    messages: int
    consumers: int


class Inspection:
    """A connection to look around with. Raises TransportFailure when the broker cannot be reached or is lost."""

    def __init__(self, url: str) -> None:
        parameters = parameters_for(url, "bus-inspection")
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
        try:
            self._connection: Any = pika.BlockingConnection(parameters)
        except AMQPConnectionError as error:
            raise TransportFailure(hopeless(error) or "RabbitMQ cannot be reached.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    @property
    def broker(self) -> str:
        """Its name and version, as it gives them."""
        # pika offers the server's properties only on the connection that the blocking one wraps.
        properties = self._connection._impl.server_properties
        return f"{properties.get('product', 'a broker')} {properties.get('version', 'of unknown version')}"

    def seen(self, queue: str) -> Seen | None:
        """None when there is no such queue."""
        found: list[Seen] = []

        def look(channel: BlockingChannel) -> None:
            declared = channel.queue_declare(queue, passive=True).method
            found.append(Seen(declared.message_count, declared.consumer_count))

        self._refusal(look)
        return found[0] if found else None

    def difference(self, queue: Queue) -> str:
        """What the broker has otherwise than declared, as a sentence; empty when nothing."""
        if self.seen(queue.name) is None:
            return f"{queue.name} is missing."
        refusal = self.refusal_to_declare(queue)
        return f"{queue.name}: {refusal}" if refusal else ""

    def refusal_to_declare(self, queue: Queue) -> str:
        """Of a queue that is there: why we cannot declare it as we do; empty when we can."""
        return self._refusal(
            lambda channel: channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
        )

    def refusal_to_read(self, queue: str) -> str:
        """Why we cannot consume an empty queue; empty when we can."""
        return self._refusal(lambda channel: channel.basic_get(queue))

    def refusal_to_write(self, exchange: str) -> str:
        """Why we cannot publish to an exchange, or that it is missing; empty when we can."""

        def publish(channel: BlockingChannel) -> None:
            channel.basic_publish(exchange, "", b"", pika.BasicProperties(user_id=_NOBODY))
            channel.basic_qos(prefetch_count=1)  # answered after the message

        return self._refusal(publish, expected=_PRECONDITION_FAILED)

    def refusal_of_replies(self) -> str:
        """Why we cannot have a queue for replies; empty when we can."""

        def make(channel: BlockingChannel) -> None:
            name = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_get(name)
            channel.queue_delete(name)

        return self._refusal(make)

    def _refusal(self, attempt: Callable[[BlockingChannel], object], expected: int = 0) -> str:
        """The broker's words, but for an expected refusal. On a channel of its own, which a refusal closes."""
        try:
            channel = self._connection.channel()
            attempt(channel)
            channel.close()
        except ChannelClosedByBroker as refused:
            return "" if refused.reply_code == expected else str(refused.reply_text)
        except ConnectionBlockedTimeout:
            raise TransportFailure("RabbitMQ is short of memory or disk, and takes no messages.") from None
        except AMQPConnectionError:
            raise TransportFailure("The connection to RabbitMQ was lost.") from None
        return ""


def differences(url: str, queues: Sequence[Queue]) -> list[str]:
    """What the broker has otherwise than declared, one sentence each; creates nothing.

    Raises TransportFailure when the broker cannot be reached.
    """
    with Inspection(url) as inspection:
        found = (inspection.difference(queue) for queue in queues)
        return [sentence for sentence in found if sentence]
