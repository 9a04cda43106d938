"""RabbitMQ, on pika's asynchronous connection. The only package that knows pika."""

from bus.messaging.rabbitmq.inspection import Inspection, Seen, differences
from bus.messaging.rabbitmq.transport import RabbitMQ

__all__ = ["Inspection", "RabbitMQ", "Seen", "differences"]
