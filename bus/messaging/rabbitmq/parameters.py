"""Connection parameters: where the broker is, and how long to wait for it."""

import pika

# A connection ends at the first look that finds two heartbeats missed, so a silent network is noticed within three
# times this (measured: 23 to 27 s by the broker).
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
