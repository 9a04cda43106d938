"""Choosing a transport by its URL."""

from bus.messaging.transport import Transport


def transport_for(url: str, name: str) -> Transport:
    """The transport for `amqp://`, `amqps://` or `memory://`, not yet opened.

    `name` is shown in the broker's list of connections. Raises ValueError for any other URL.
    """
    # Imported here so that each way needs only its own library.
    if url.startswith(("amqp://", "amqps://")):
        from bus.messaging.rabbitmq import RabbitMQ

        return RabbitMQ(url, name)
    if url.startswith("memory://"):
        from bus.messaging.memory import Embedded

        return Embedded(url, name)
    scheme = url.partition("://")[0]
    raise ValueError(f"no transport for {scheme}://: use amqp://, amqps:// or memory://")
