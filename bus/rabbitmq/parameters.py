"""Connection parameters: where the broker is, and how long to wait for it."""

import pika

# Two missed heartbeats end a connection, so a silent network is noticed within twice this.
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 5


def parameters_for(url: str, name: str) -> pika.URLParameters:
    """Raises ValueError for a URL that is none (RabbitMQ URI specification)."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS
    parameters.connection_attempts = 1
    parameters.client_properties = {"connection_name": name}
    return parameters
