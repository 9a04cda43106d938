"""The topology: all queues and exchanges, their names and their arguments."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from bus.contract.operations import Operation, service_of


@dataclass(frozen=True)
class Limits:
    """How long a handler may run, how often a fault is retried, how much may wait, how long rows are kept.

    `handler_seconds`: a handler that runs longer counts as stuck, and its process ends. Keep it longer than the
    longest statement (`bus.database`). `retry_seconds`: the delays before each retry of a command whose handler
    failed; after the last retry the command is dead-lettered. `queue_bound`: the greatest length of a command queue,
    in messages. `replicate_queries`: query queues are replicated in a cluster, as command queues are. `keep_days`: how
    long inbox rows and sent events are kept. `give_up_hours`: how long a command is tried again while a service that it
    calls is away; not longer than `keep_days`, or that service would have forgotten what it has done for it.

    All workers of a service need the same `retry_seconds`, `queue_bound` and `replicate_queries`, because queues are
    declared with them.
    """

    handler_seconds: float = 60.0
    retry_seconds: tuple[int, ...] = (5, 30, 120)
    queue_bound: int = 100_000
    replicate_queries: bool = False
    keep_days: float = 7.0
    give_up_hours: float = 72.0


DEFAULT_LIMITS = Limits()


REQUESTS_EXCHANGE = "bus.requests"
EVENTS_EXCHANGE = "bus.events"

# The greatest length of a query queue. The broker refuses further messages at once. For command queues see
# `Limits.queue_bound`.
MAX_QUERIES = 10_000

# A service has two exchanges, named after it with these suffixes: one returns messages from the retry queues to
# their own queue, the other takes those whose queue does not exist.
RETRIED, UNROUTABLE = ".retried", ".unroutable"

# With a delivery limit of L, RabbitMQ delivers a message of a quorum queue at most L+1 times. A message that two
# workers died with is a suspect, and moves to the quarantine. There it is delivered alone; if three more workers die
# with it, it is dead-lettered. In other queues the limit must only be higher than what a harmless message reaches
# because of its neighbours.
SUSPECT_DELIVERIES = 2
QUARANTINE_DELIVERY_LIMIT = 2
DELIVERY_LIMIT = 20

# An operator who reads dead letters in the broker and requeues them must not reach the limit. Unlimited (-1) exists
# only since RabbitMQ 4.
DEAD_DELIVERY_LIMIT = 1_000_000

# The greatest length of the queue of an event stream. When its reader is too slow, the oldest events are dropped.
MAX_WATCHED = 10_000

Kind = Literal["command", "transient", "query", "quarantine", "retry", "events", "dead", "watch"]

# These are bound to the requests exchange by their own names, so that requests reach them.
REQUEST_KINDS: tuple[Kind, ...] = ("command", "transient", "query")
# What a worker consumes.
CONSUMED_KINDS: tuple[Kind, ...] = (*REQUEST_KINDS, "events", "quarantine", "dead")


@dataclass(frozen=True)
class Queue:
    """A durable queue. `bound` is its greatest length in messages, 0 for unlimited.

    A `retry` queue has a fanout exchange of its own name. A message published there with the name of a command queue
    as its routing key moves to that queue after `delay_seconds`. An `events` queue receives its `topics` from the
    events exchange. So does a `watch` queue, which belongs to one connection and is deleted with it. A `query` or
    `transient` queue is `replicated` on request; all others except `watch` queues always are.
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
        return service_of_queue(self.name)

    def arguments(self) -> dict[str, Any]:
        """Arguments that every RabbitMQ from 3.10 on accepts.

        A queue of queries or transient commands is a classic queue unless `replicated`, because they are not worth a
        write to disk. The others
        are quorum queues, which survive the loss of a node. A message that a quorum queue dead-letters stays in it
        until the next queue has confirmed it (at-least-once).
        """
        bound = {"x-max-length": self.bound} if self.bound else {}
        if self.kind == "watch":
            return {"x-queue-type": "classic", **bound}  # a broker may have another default
        refuse = {"x-overflow": "reject-publish"}
        if self.kind in ("query", "transient"):
            kind = {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT} if self.replicated else {}
            return {**kind, **bound, **refuse}
        if self.kind == "dead":
            return {"x-queue-type": "quorum", "x-delivery-limit": DEAD_DELIVERY_LIMIT}
        return {"x-queue-type": "quorum", **self._passing_on(), **bound, **refuse}

    def _passing_on(self) -> dict[str, Any]:
        if self.kind == "retry":
            # Without a dead-letter routing key each message keeps the one it was published with. It must lead to a
            # queue: a message that a quorum queue cannot pass on stays in it and blocks those behind it.
            back = {"x-dead-letter-exchange": f"{self.service}{RETRIED}", "x-dead-letter-strategy": "at-least-once"}
            return {"x-delivery-limit": DELIVERY_LIMIT, "x-message-ttl": self.delay_seconds * 1000, **back}
        dead = dead_letter_queue(self.service).name
        if self.kind == "quarantine":
            return {"x-delivery-limit": QUARANTINE_DELIVERY_LIMIT, **_to(dead)}
        order = {"x-single-active-consumer": True} if self.kind == "events" else {}
        return {"x-delivery-limit": DELIVERY_LIMIT, **_to(dead), **order}


def queue_of(operation: type[Operation[Any]], limits: Limits = DEFAULT_LIMITS) -> Queue:
    """The queue of an operation; it has the operation's name."""
    name, kind = operation.operation_name, operation.operation_kind
    if kind == "command":
        return Queue(name, kind, limits.queue_bound)
    return Queue(name, kind, MAX_QUERIES, replicated=limits.replicate_queries)


def quarantine_queue(service: str, limits: Limits = DEFAULT_LIMITS) -> Queue:
    """For messages that workers died with; they are carried out one at a time."""
    return Queue(f"{service}.quarantine", "quarantine", limits.queue_bound)


def retry_queues(service: str, limits: Limits = DEFAULT_LIMITS) -> list[Queue]:
    """Where commands wait for a retry; one queue for each delay."""
    return [
        Queue(f"{service}.retry.{seconds}s", "retry", limits.queue_bound, delay_seconds=seconds)
        for seconds in limits.retry_seconds
    ]


def events_queue(service: str, topics: Iterable[str], limits: Limits = DEFAULT_LIMITS) -> Queue:
    """For all events that a service listens to: one queue, so that they stay in order."""
    return Queue(f"{service}.events", "events", limits.queue_bound, topics=tuple(topics))


def stream_queue(*patterns: str) -> Queue:
    """For an event stream, deleted with its connection. `patterns` are binding keys of a topic exchange."""
    return Queue(f"bus.watch.{uuid4().hex}", "watch", MAX_WATCHED, topics=patterns)


def matches_topic(name: str, pattern: str) -> bool:
    """Whether an event's name matches a binding key of a topic exchange (AMQP 0-9-1, section 3.1.3.3).

    `*` is one word, `#` any number of them.
    """
    words = name.split(".")
    ends = {0}  # how many words the pattern so far may stand for
    for part in pattern.split("."):
        if part == "#":
            ends = set(range(min(ends), len(words) + 1)) if ends else set()
        else:
            ends = {end + 1 for end in ends if end < len(words) and part in ("*", words[end])}
    return len(words) in ends


def service_of_queue(name: str) -> str:
    """The name of the service that a queue belongs to."""
    return name.partition(".")[0]


def is_events_queue(name: str) -> bool:
    """Whether a queue receives the events that a service listens to."""
    return name.endswith(".events")


def dead_letter_queue(service: str) -> Queue:
    """For messages of a service that can never be carried out. Unbounded, because they must not be lost."""
    return Queue(f"{service}.dead", "dead")


def queues_of(
    operations: Iterable[type[Operation[Any]]], limits: Limits = DEFAULT_LIMITS, topics: Iterable[str] = ()
) -> list[Queue]:
    """All queues of the services of these operations, and those for the events of `topics`."""
    operations, topics = list(operations), tuple(topics)
    queues: list[Queue] = []
    for service in sorted({service_of(operation) for operation in operations}):
        queues += [dead_letter_queue(service), quarantine_queue(service, limits), *retry_queues(service, limits)]
        queues += [events_queue(service, topics, limits)] if topics else []
    return [*queues, *(queue_of(operation, limits) for operation in operations)]


def _to(queue: str) -> dict[str, Any]:
    """Dead-letter to a queue."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
    }
