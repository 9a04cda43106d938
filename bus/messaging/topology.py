"""The topology: which queues and exchanges there are, and with which arguments."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from bus.contract.operations import Operation, service_of


@dataclass(frozen=True)
class Limits:
    """How long a handler may take, how often a fault is retried, how much may wait, how long is remembered.

    `handler_seconds`: a handler that takes longer is taken for hung, and its process ends. It is longer
    than the longest statement (`bus.database`). `retry_seconds`: the pauses before another try of a command
    whose handler failed; after the last it is a dead letter. `queue_bound`: the greatest length of a
    command queue, in messages. `replicate_queries`: queries wait on several nodes of a cluster, as commands
    do. `keep_days`: how long the inbox and sent events are kept.

    All workers of a service must have the same `retry_seconds`, `queue_bound` and `replicate_queries`:
    they are the broker's too.
    """

    handler_seconds: float = 60.0
    retry_seconds: tuple[int, ...] = (5, 30, 120)
    queue_bound: int = 100_000
    replicate_queries: bool = False
    keep_days: float = 7.0


DEFAULT_LIMITS = Limits()


REQUESTS_EXCHANGE = "bus.requests"
EVENTS_EXCHANGE = "bus.events"

# A queue's bound. Past it the broker refuses the message, and the publisher is told at once. That of
# command queues is in `bus.limits`.
MAX_QUERIES = 10_000

# Ends of the names of a service's exchanges: where what has waited for another try goes back to its queue, and
# where that goes which belongs to no queue of the service.
RETRIED, UNROUTABLE = ".retried", ".unroutable"

# RabbitMQ delivers a quorum queue's message at most this often plus one. A message that was in hand when
# its worker died twice is a suspect, and moves to the quarantine; one that has died there three times alone
# is a dead letter. The limit of other queues only has to be larger than an innocent neighbour ever sees.
SUSPECT_DELIVERIES = 2
QUARANTINE_DELIVERY_LIMIT = 2
DELIVERY_LIMIT = 20

# Whoever looks through dead letters and puts them back does not use them up; unlimited (-1) is
# known only to RabbitMQ 4.
DEAD_DELIVERY_LIMIT = 1_000_000

# What is shown to somebody who looks on; of what they are too slow for, the oldest is dropped.
MAX_WATCHED = 10_000

Kind = Literal["command", "query", "quarantine", "retry", "events", "dead", "watch"]

# Bound to the requests exchange under their own names, and so reached by requests.
REQUEST_KINDS: tuple[Kind, ...] = ("command", "query")
# What a worker consumes.
CONSUMED_KINDS: tuple[Kind, ...] = (*REQUEST_KINDS, "events", "quarantine", "dead")


@dataclass(frozen=True)
class Queue:
    """A durable queue. `bound` is its greatest length in messages, 0 for none.

    A `retry` queue is behind a fanout exchange of its own name; what was published there under the name of a
    command queue of its service moves to that queue after `delay_seconds`. An `events` queue takes the `topics`
    from the events exchange; so does a `watch` queue, which is one connection's alone and ends with it. A `query`
    queue is `replicated` where that is asked for; all others but `watch` queues always are.
    """

    name: str
    kind: Kind
    bound: int = 0
    delay_seconds: int = 0
    topics: tuple[str, ...] = ()
    replicated: bool = False

    @property
    def service(self) -> str:
        """The name of the service it belongs to."""
        return self.name.partition(".")[0]

    def arguments(self) -> dict[str, Any]:
        """The arguments every RabbitMQ from 3.10 on accepts.

        Queries are in classic queues where nobody asked for more, for they are not worth a write to disk; all
        else is in quorum queues, which survive the loss of a node. What a quorum queue passes on stays in it
        until the next queue has confirmed it (at-least-once).
        """
        bound = {"x-max-length": self.bound} if self.bound else {}
        if self.kind == "watch":
            return {"x-queue-type": "classic", **bound}  # without a word the broker may take another kind
        refuse = {"x-overflow": "reject-publish"}
        if self.kind == "query":
            kind = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT} if self.replicated else {}
            return {**kind, **bound, **refuse}
        if self.kind == "dead":
            return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
        return {"x-queue-type": "quorum", **self._passing_on(), **bound, **refuse}

    def _passing_on(self) -> dict[str, Any]:
        if self.kind == "retry":
            # Without a routing key of its own, each message keeps the one it came with. It must lead somewhere:
            # what a quorum queue cannot pass on stays in it, and in the way of all that comes after.
            back = {"x-dead-letter-exchange": f"{self.service}{RETRIED}", "x-dead-letter-strategy": "at-least-once"}
            return {"x-delivery-limit": DELIVERY_LIMIT, "x-message-ttl": self.delay_seconds * 1000, **back}
        dead = dead_letter_queue(self.service).name
        if self.kind == "quarantine":
            return {"x-delivery-limit": QUARANTINE_DELIVERY_LIMIT, **_to(dead)}
        order = {"x-single-active-consumer": True} if self.kind == "events" else {}
        return {"x-delivery-limit": DELIVERY_LIMIT, **_to(dead), **order}


def queue_of(operation: type[Operation[Any]], limits: Limits = DEFAULT_LIMITS) -> Queue:
    """The queue of an operation, which bears its name."""
    if operation.is_command:
        return Queue(operation.operation_name, "command", limits.queue_bound)
    return Queue(operation.operation_name, "query", MAX_QUERIES, replicated=limits.replicate_queries)


def quarantine_queue(service: str, limits: Limits = DEFAULT_LIMITS) -> Queue:
    """Where messages go that were in hand when a worker died, to be carried out one at a time."""
    return Queue(f"{service}.quarantine", "quarantine", limits.queue_bound)


def retry_queues(service: str, limits: Limits = DEFAULT_LIMITS) -> list[Queue]:
    """Where commands wait for another try; one queue for each pause."""
    return [
        Queue(f"{service}.retry.{seconds}s", "retry", limits.queue_bound, delay_seconds=seconds)
        for seconds in limits.retry_seconds
    ]


def events_queue(service: str, topics: Iterable[str], limits: Limits = DEFAULT_LIMITS) -> Queue:
    """Where the events come to that a service listens to: one queue, so that their order is kept."""
    return Queue(f"{service}.events", "events", limits.queue_bound, topics=tuple(topics))


def stream_queue(pattern: str) -> Queue:
    """For somebody who looks on, without being missed when they are gone. The pattern is a topic exchange's."""
    return Queue(f"bus.watch.{uuid4().hex}", "watch", MAX_WATCHED, topics=(pattern,))


def is_events_queue(name: str) -> bool:
    """Whether a queue is one that events come to."""
    return name.endswith(".events")


def dead_letter_queue(service: str) -> Queue:
    """Where a service's messages go that can never work. Unbounded: what is in it must not be lost."""
    return Queue(f"{service}.dead", "dead")


def queues_of(
    operations: Iterable[type[Operation[Any]]], limits: Limits = DEFAULT_LIMITS, topics: Iterable[str] = ()
) -> list[Queue]:
    """All queues of services: what is set aside, what waits, what is asked, and the `topics` listened to."""
    operations, topics = list(operations), tuple(topics)
    queues: list[Queue] = []
    for service in sorted({service_of(operation) for operation in operations}):
        queues += [dead_letter_queue(service), quarantine_queue(service, limits), *retry_queues(service, limits)]
        queues += [events_queue(service, topics, limits)] if topics else []
    return [*queues, *(queue_of(operation, limits) for operation in operations)]


def _to(queue: str) -> dict[str, Any]:
    """Pass on to a queue."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
