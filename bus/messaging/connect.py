"""Choosing a transport by its URL, and opening one for the length of a block."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from bus.messaging.broker_url import EMBEDDED, parse_broker_url
from bus.messaging.transport import Transport, TransportFailure, TransportOptions

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 5.0

_TO_PUBLISH = TransportOptions()


class BrokerUnreachable(TransportFailure):
    """No connection was made in time; another attempt may succeed."""


def transport_for(url: str, name: str, loop: asyncio.AbstractEventLoop | None = None) -> Transport:
    """The transport for `amqp://`, `amqps://` or `memory://`, not yet opened.

    `name` is shown in the broker's list of connections. With `loop`, which must be running, a connection to RabbitMQ
    needs no thread of its own. Raises BadBrokerUrl, a ValueError, for any other URL.
    """
    # Imported here so that RabbitMQ needs no kombu and the embedded broker no pika.
    if url.startswith(EMBEDDED):
        from bus.messaging.memory import Embedded

        return Embedded(url, name)
    broker = parse_broker_url(url)
    from bus.messaging.rabbitmq import RabbitMQ

    return RabbitMQ(broker, name, loop)


def check_reachable(url: str) -> None:
    """Connect to the broker's port, once, and hang up.

    For commands that a person waits for: a transport itself would go on trying. Raises BrokerUnreachable, at once
    where the host is unknown or nothing listens, and BadBrokerUrl.
    """
    broker = parse_broker_url(url)
    try:
        socket.create_connection((broker.host, broker.port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise BrokerUnreachable(broker.unreachable(error)) from None


@contextmanager
def connected(url: str, name: str, options: TransportOptions = _TO_PUBLISH) -> Iterator[Transport]:
    """A transport that is ready, and closed after the block. Without `options` it only publishes.

    Raises BrokerUnreachable at once where nothing listens, or after 5 s without a connection, TransportFailure when the
    broker refuses `options`, and BadBrokerUrl as `transport_for` does.
    """
    transport = transport_for(url, name)
    if not url.startswith(EMBEDDED):
        check_reachable(url)
    transport.open(options)
    try:
        if not transport.wait_until_ready(CONNECT_SECONDS):
            raise BrokerUnreachable(f"{transport.describe()} cannot be reached.")
        yield transport
    finally:
        transport.close(CLOSE_SECONDS)
