"""RabbitMQ, on pika's asynchronous connection. The only package that knows pika."""

from bus.rabbitmq.comparison import differences
from bus.rabbitmq.inspection import Inspection, Seen
from bus.rabbitmq.transport import RabbitMQ

__all__ = ["Inspection", "RabbitMQ", "Seen", "differences"]
