"""Declarations: which exchanges and bindings belong to queues, in the order in which they must be declared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bus.messaging.topology import EVENTS_EXCHANGE, REQUEST_KINDS, REQUESTS_EXCHANGE, RETRIED, UNROUTABLE, Queue


@dataclass(frozen=True)
class Exchange:
    """A durable exchange. A message that it cannot route goes to the `alternate` exchange, if there is one."""

    name: str
    type: str
    alternate: str = ""

    def arguments(self) -> dict[str, str]:
        """Its arguments in a declaration."""
        return {"alternate-exchange": self.alternate} if self.alternate else {}


@dataclass(frozen=True)
class Binding:
    """An exchange that leads to a queue, with the routing key."""

    queue: str
    exchange: str
    key: str


Declaration = Exchange | Queue | Binding

SHARED_EXCHANGES = (Exchange(REQUESTS_EXCHANGE, "direct"), Exchange(EVENTS_EXCHANGE, "topic"))


def exchanges_of(queues: Iterable[Queue]) -> list[Exchange]:
    """All exchanges that lead to these queues, and those that all services share; none without queues."""
    queues = list(queues)
    found = dict.fromkeys(exchange for queue in queues for exchange in _own_exchanges(queue))
    return [*SHARED_EXCHANGES, *found] if queues else []


def bindings_of(queue: Queue) -> Iterator[Binding]:
    """All bindings of a queue, besides that of the default exchange."""
    if queue.kind in REQUEST_KINDS:
        yield Binding(queue.name, REQUESTS_EXCHANGE, queue.name)
    if queue.kind == "command":
        yield Binding(queue.name, f"{queue.service}{RETRIED}", queue.name)
    if queue.kind == "retry":
        yield Binding(queue.name, queue.name, "")
    if queue.kind == "dead":
        yield Binding(queue.name, f"{queue.service}{UNROUTABLE}", "")
    for topic in queue.topics:
        yield Binding(queue.name, EVENTS_EXCHANGE, topic)


def declarations(queues: Iterable[Queue]) -> Iterator[Declaration]:
    """Everything to declare for these queues: exchanges, then each queue with its bindings."""
    queues = list(queues)
    yield from exchanges_of(queues)
    for queue in queues:
        yield queue
        yield from bindings_of(queue)


def _own_exchanges(queue: Queue) -> Iterator[Exchange]:
    if queue.kind in ("command", "retry"):
        # From retry queues back to command queues. A message whose queue does not exist is dead-lettered.
        yield Exchange(f"{queue.service}{RETRIED}", "direct", f"{queue.service}{UNROUTABLE}")
    if queue.kind == "retry":
        yield Exchange(queue.name, "fanout")
    if queue.kind == "dead":
        yield Exchange(f"{queue.service}{UNROUTABLE}", "fanout")
