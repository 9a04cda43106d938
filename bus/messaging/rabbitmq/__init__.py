"""The transport for RabbitMQ, on pika's asynchronous connection, and the inspection of a broker.

A process has two connections, `publisher.py` and `consumer.py`, both kept open by `reconnecting.py` and run by the one
I/O thread of `transport.py`. `confirms.py` and `acknowledgements.py` are rules without I/O. `inspection.py` has a
connection of its own.

This is the only package that imports pika. `bus.messaging.connect`, `bus cli` and `bus doctor` import it.

Start at `transport.py`.
"""

from bus.messaging.rabbitmq.inspection import Inspection, differences
from bus.messaging.rabbitmq.management import ManagementUnavailable
from bus.messaging.rabbitmq.transport import RabbitMQ
from bus.messaging.transport import QueueCounts

__all__ = ["Inspection", "ManagementUnavailable", "QueueCounts", "RabbitMQ", "differences"]
