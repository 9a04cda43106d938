"""Inspection: which queues a broker has and what it permits this user, without changing anything there."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.utils.connection_workflow import AMQPConnectorStackTimeout
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker, ConnectionBlockedTimeout

from bus.messaging.broker_url import parse_broker_url
from bus.messaging.declarations import Exchange, exchanges_of
from bus.messaging.rabbitmq.management import ManagementUnavailable, hidden_differences
from bus.messaging.rabbitmq.reconnecting import parameters_for, why_permanent
from bus.messaging.topology import Queue
from bus.messaging.transport import QueueCounts, TransportFailure

# A broker that is short of memory or disk blocks the connection at once, and then reads nothing from it.
BLOCKED_SECONDS = 3.0

_PRECONDITION_FAILED = 406
# Not the name of any user. The broker checks the permission first, and then refuses a message that claims to come from
# another user (RabbitMQ, "Validated User-ID"). So nothing is ever delivered.
_UNKNOWN_USER = "no user of this broker"


class Inspection:
    """A connection for questions to a broker. Raises TransportFailure when it cannot be made, or is lost."""

    def __init__(self, url: str) -> None:
        self._broker = broker = parse_broker_url(url)
        parameters = parameters_for(broker, "bus-inspection")
        parameters.blocked_connection_timeout = BLOCKED_SECONDS
        try:
            self._connection: Any = pika.BlockingConnection(parameters)
        except AMQPConnectorStackTimeout:
            silent = TimeoutError(f"no answer within {parameters.stack_timeout:g} s")
            raise TransportFailure(broker.unreachable(silent)) from None
        except (AMQPConnectionError, OSError) as error:  # OSError: no such host, or TLS refused the certificate
            raise TransportFailure(why_permanent(error) or broker.unreachable(error)) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection.is_open:
            self._connection.close()

    @property
    def broker(self) -> str:
        """The name and version that the broker gives, such as "RabbitMQ 4.0.5"."""
        # pika offers the server's properties only on the connection that the blocking one wraps.
        properties = self._connection._impl.server_properties
        return f"{properties.get('product', 'a broker')} {properties.get('version', 'of unknown version')}"

    def counts(self, queue: str) -> QueueCounts | None:
        """The queue's messages and consumers; None if it does not exist."""
        found: list[QueueCounts] = []

        def look(channel: BlockingChannel) -> None:
            declared = channel.queue_declare(queue, passive=True).method
            found.append(QueueCounts(declared.message_count, declared.consumer_count))

        self._refusal(look)
        return found[0] if found else None

    def all_counts(self, queues: Iterable[str]) -> dict[str, QueueCounts]:
        """The messages and consumers of those of these queues that exist."""
        found: dict[str, QueueCounts] = {}
        left = list(queues)

        def look(channel: BlockingChannel) -> None:
            while left:
                name = left.pop(0)  # a missing queue closes the channel
                declared = channel.queue_declare(name, passive=True).method
                found[name] = QueueCounts(declared.message_count, declared.consumer_count)

        while left:
            self._refusal(look)
        return found

    def difference(self, queue: Queue) -> str:
        """How the broker's queue differs from ours, in one sentence; empty if it does not."""
        if self.counts(queue.name) is None:
            return f"{queue.name} is missing."
        refusal = self.refusal_to_declare(queue)
        return f"{queue.name}: {refusal}" if refusal else ""

    def refusal_to_declare(self, queue: Queue) -> str:
        """Why the broker refuses our declaration of an existing queue; empty if it does not."""
        return self._refusal(
            lambda channel: channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
        )

    def exchange_difference(self, exchange: Exchange) -> str:
        """How the broker's exchange differs from ours, in one sentence; empty if it does not."""
        if self._refusal(lambda channel: channel.exchange_declare(exchange.name, passive=True)):
            return f"The exchange {exchange.name} is missing."
        refusal = self._refusal(
            lambda channel: channel.exchange_declare(
                exchange.name, exchange.type, durable=True, arguments=exchange.arguments()
            )
        )
        return f"The exchange {exchange.name}: {refusal}" if refusal else ""

    def hidden_differences(self, queues: Sequence[Queue]) -> list[str]:
        """Missing bindings and harmful policies, one sentence for each. Raises ManagementUnavailable."""
        return hidden_differences(self._broker, queues)

    def refusal_to_read(self, queue: str) -> str:
        """Why the broker does not let us read an empty queue; empty if it does."""
        return self._refusal(lambda channel: channel.basic_get(queue))

    def refusal_to_write(self, exchange: str) -> str:
        """Why the broker does not let us publish to an exchange, or that it is missing; empty if it does."""

        def publish(channel: BlockingChannel) -> None:
            channel.basic_publish(exchange, "", b"", pika.BasicProperties(user_id=_UNKNOWN_USER))
            channel.basic_qos(prefetch_count=1)  # the answer comes after the message was checked

        return self._refusal(publish, expected=_PRECONDITION_FAILED)

    def refusal_of_replies(self) -> str:
        """Why the broker does not let us have a reply queue; empty if it does."""

        def make(channel: BlockingChannel) -> None:
            name = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_get(name)
            channel.queue_delete(name)

        return self._refusal(make)

    def _refusal(self, attempt: Callable[[BlockingChannel], object], expected: int = 0) -> str:
        """The broker's text for a refusal, unless it is the expected one. Uses a new channel: a refusal closes it."""
        try:
            channel = self._connection.channel()
            attempt(channel)
            channel.close()
        except ChannelClosedByBroker as refused:
            return "" if refused.reply_code == expected else str(refused.reply_text)
        except ConnectionBlockedTimeout:
            raise TransportFailure("RabbitMQ is short of memory or disk, and accepts no messages.") from None
        except AMQPConnectionError:
            raise TransportFailure("The connection to RabbitMQ was lost.") from None
        return ""


def differences(url: str, queues: Sequence[Queue]) -> tuple[list[str], str]:
    """How the broker's queues, exchanges and bindings differ from ours, and policies that could lose messages.

    One sentence for each. With them, why bindings and policies were not compared; empty if they were. Creates nothing.
    Raises TransportFailure when the broker cannot be reached.
    """
    unseen = ""
    with Inspection(url) as inspection:
        found = [inspection.exchange_difference(exchange) for exchange in exchanges_of(queues)]
        found += [inspection.difference(queue) for queue in queues]
        try:
            found += inspection.hidden_differences(queues)
        except ManagementUnavailable as unavailable:
            unseen = str(unavailable)
        return [sentence for sentence in found if sentence], unseen
