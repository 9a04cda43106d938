"""The comparison of the broker's queues with the declared ones."""

from collections.abc import Sequence

from bus.messaging.rabbitmq.inspection import Inspection
from bus.messaging.topology import Queue


def differences(url: str, queues: Sequence[Queue]) -> list[str]:
    """What the broker has otherwise than declared, one sentence each; creates nothing.

    Raises TransportFailure when the broker cannot be reached.
    """
    with Inspection(url) as inspection:
        found = (inspection.difference(queue) for queue in queues)
        return [sentence for sentence in found if sentence]
