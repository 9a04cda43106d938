"""The embedded broker: the whole system in one process, for a first look and for tests.

Queued messages end with the process.
"""

from bus.messaging.memory.transport import Embedded

__all__ = ["Embedded"]
