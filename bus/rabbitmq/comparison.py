"""The comparison of the broker's queues with the declared ones."""

from collections.abc import Sequence
from typing import Any

import pika
from pika.exceptions import AMQPConnectionError, ChannelClosedByBroker

from bus.rabbitmq.link import hopeless
from bus.rabbitmq.parameters import parameters_for
from bus.topology import Queue
from bus.transport import TransportFailure


def differences(url: str, queues: Sequence[Queue]) -> list[str]:
    """What the broker has otherwise than declared, one sentence each; creates nothing.

    Raises TransportFailure when the broker cannot be reached.
    """
    try:
        connection = pika.BlockingConnection(parameters_for(url, "bus-topology"))
    except AMQPConnectionError as error:
        raise TransportFailure(hopeless(error) or "RabbitMQ cannot be reached.") from None
    with connection:
        found = (_difference(connection, queue) for queue in queues)
        return [sentence for sentence in found if sentence]


def _difference(connection: Any, queue: Queue) -> str:
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, passive=True)
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
        channel.close()
    except ChannelClosedByBroker as error:
        return f"{queue.name} is missing." if error.reply_code == 404 else f"{queue.name}: {error.reply_text}"
    return ""
