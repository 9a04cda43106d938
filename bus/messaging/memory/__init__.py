"""The embedded broker: queues inside one process, to try the whole system out and to test it.

Messages are lost when the process ends. `broker.py` has the queues of a URL, `transport.py` one user's connection to
them. `broker.py` is the only file that imports kombu; `bus.messaging.connect` imports this package.

Start at `transport.py`.
"""

from bus.messaging.memory.transport import Embedded, queue_counts

__all__ = ["Embedded", "queue_counts"]
