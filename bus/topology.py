"""The topology: which queues there are, and with which arguments."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from bus.operation import Operation, service_of

REQUESTS_EXCHANGE = "bus.requests"

# A queue's bounds. Past them the broker refuses the message, and the publisher is told at once.
MAX_COMMANDS = 100_000
MAX_QUERIES = 10_000

# RabbitMQ delivers a quorum queue's message at most this often plus one: it takes that many worker
# crashes, never an error in a handler, to get there.
DELIVERY_LIMIT = 8

# Whoever looks through dead letters and puts them back does not use them up; unlimited (-1) is
# known only to RabbitMQ 4.
DEAD_DELIVERY_LIMIT = 1_000_000


@dataclass(frozen=True)
class Queue:
    """A durable queue. `bound` is its greatest length in messages, 0 for none."""

    name: str
    kind: Literal["command", "query", "dead"]
    bound: int = 0

    def arguments(self) -> dict[str, Any]:
        """The arguments every RabbitMQ from 3.10 on accepts.

        Commands and dead letters are kept in quorum queues, which survive the loss of a node;
        queries in classic queues, for they are not worth a write to disk.
        """
        bounds = {"x-max-length": self.bound, "x-overflow": "reject-publish"} if self.bound else {}
        if self.kind == "query":
            return bounds
        if self.kind == "dead":
            return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead_letter_queue(self.name.partition(".")[0]).name,
            **bounds,
        }


def queue_of(operation: type[Operation[Any]]) -> Queue:
    """The queue of an operation, which bears its name."""
    if operation.is_command:
        return Queue(operation.operation_name, "command", MAX_COMMANDS)
    return Queue(operation.operation_name, "query", MAX_QUERIES)


def dead_letter_queue(service: str) -> Queue:
    """Where a service's messages go that can never work. Unbounded: what is in it must not be lost."""
    return Queue(f"{service}.dead", "dead")


def queues_of(operations: Iterable[type[Operation[Any]]]) -> list[Queue]:
    """All queues of a service: one for each operation, and its dead letters."""
    operations = list(operations)
    services = sorted({service_of(operation) for operation in operations})
    return [*map(dead_letter_queue, services), *map(queue_of, operations)]
