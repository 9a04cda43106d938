"""Choosing a transport by its URL, and opening one for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager

from bus.messaging.transport import Transport, TransportFailure, TransportOptions

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0

_TO_PUBLISH = TransportOptions()


class BrokerUnreachable(TransportFailure):
    """No connection was made in time; another attempt may succeed."""


def transport_for(url: str, name: str) -> Transport:
    """The transport for `amqp://`, `amqps://` or `memory://`, not yet opened.

    `name` is shown in the broker's list of connections. Raises ValueError for any other URL.
    """
    # Imported here so that RabbitMQ needs no kombu and the embedded broker no pika.
    if url.startswith(("amqp://", "amqps://")):
        from bus.messaging.rabbitmq import RabbitMQ

        return RabbitMQ(url, name)
    if url.startswith("memory://"):
        from bus.messaging.memory import Embedded

        return Embedded(url, name)
    scheme = url.partition("://")[0]
    raise ValueError(f"no transport for {scheme}://: use amqp://, amqps:// or memory://")


@contextmanager
def connected(url: str, name: str, options: TransportOptions = _TO_PUBLISH) -> Iterator[Transport]:
    """A transport that is ready, and closed after the block. Without `options` it only publishes.

    Raises BrokerUnreachable after 5 s without a connection, TransportFailure when the broker refuses `options`, and
    ValueError as `transport_for` does.
    """
    transport = transport_for(url, name)
    transport.open(options)
    try:
        if not transport.wait_until_ready(CONNECT_SECONDS):
            raise BrokerUnreachable(f"{transport.describe()} cannot be reached.")
        yield transport
    finally:
        transport.close(CLOSE_SECONDS)
