"""The transport interface: the only way in which the rest of `bus` uses a broker."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from bus.messaging.message import Delivery, Message
from bus.messaging.topology import Queue


class PublishOutcome(Enum):
    """What became of a published message."""

    CONFIRMED = "The broker has accepted it."
    FULL = "The queue is full and refused it."
    UNROUTABLE = "The queue does not exist."
    BLOCKED = "The broker accepts no messages now: it is short of memory or disk."
    DISCONNECTED = "There is no connection to the broker; the message was not sent."
    UNKNOWN = "The broker neither confirmed nor refused it: the connection was lost, or the time was over."


class QueueCounts(NamedTuple):
    """How many messages of a queue are ready for delivery, and how many consumers it has."""

    messages: int
    consumers: int


class TransportFailure(Exception):
    """The broker cannot be used: it is not reachable, a queue is declared differently, a permission is missing.

    The message is one sentence for the operator, who has to act.
    """


@dataclass(frozen=True)
class TransportOptions:
    """What a process needs from its transport. Callbacks run on the transport's thread and must return at once.

    `declares`: queues to declare, now and after every reconnect. `consumes`: queues to consume; each message goes to
    `on_delivery`, and at most `prefetch` messages of a queue are unacknowledged at a time (`prefetches` has the
    exceptions, by name), each with at most `body_bytes` of its body: more is not kept in memory. With `on_reply` a
    reply queue is opened. `on_replies_lost` is called when replies that are under way cannot arrive any more, and when
    the broker blocks publishers, because it blocks those who reply too.
    """

    declares: Sequence[Queue] = ()
    consumes: Sequence[Queue] = ()
    prefetch: int = 1
    prefetches: Mapping[str, int] = field(default_factory=dict)
    body_bytes: int = sys.maxsize
    on_delivery: Callable[[Delivery], None] | None = None
    on_reply: Callable[[Message], None] | None = None
    on_replies_lost: Callable[[], None] = lambda: None

    def prefetch_of(self, queue: Queue) -> int:
        """How many messages of a queue may be unacknowledged at a time."""
        return self.prefetches.get(queue.name, self.prefetch)


@dataclass(frozen=True)
class QueueView:
    """A consumed queue as broker and consumer see it at one moment.

    `ready` and `consumers` are the broker's counts. `delivered` is how many messages came over this process's
    connection number `session`; `unacknowledged` of them are still open, at most `prefetch`. With
    `single_active_consumer` the broker delivers to only one of the consumers.
    """

    queue: str
    ready: int
    consumers: int
    session: int
    delivered: int
    unacknowledged: int
    prefetch: int
    single_active_consumer: bool = False


class Transport(Protocol):
    """A process's connections to a broker. Every method may be called from any thread. Only the methods with `seconds`
    wait, and at most that long."""

    @property
    def failure(self) -> TransportFailure | None:
        """Why this transport has given up; None while it works or still tries."""

    @property
    def reply_address(self) -> str | None:
        """The queue for replies to this process; None while there is no connection."""

    @property
    def dropped_replies(self) -> int:
        """How many messages published without `on_outcome` were dropped, because their queue does not exist."""

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is inside this process, so that no other program can use it."""

    def describe(self) -> str:
        """The broker in a few words, without credentials."""

    def open(self, options: TransportOptions) -> None:
        """Start to connect in the background, and keep trying. Call it once, before anything else."""

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait until everything in the options is set up. Raises TransportFailure."""

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None] | None = None) -> None:
        """Send a message. `on_outcome` is called exactly once with what the broker did with it. Without `on_outcome`
        (replies) a message that cannot be delivered is dropped. An event without a listener is CONFIRMED."""

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge these. Those of a lost connection are ignored, because the broker delivers them again."""

    def stop_consuming(self, on_stopped: Callable[[], None] = lambda: None) -> None:
        """Stop consuming. Messages that were delivered can still be acknowledged.

        `on_stopped` is called when nothing but events can be delivered any more. The consumers of events end with the
        connection: after a cancel the broker would deliver later events to another worker at once, while earlier ones
        are still unacknowledged here.
        """

    def view(self, seconds: float) -> Sequence[QueueView]:
        """The queues that this process consumes now. Empty if the broker does not answer in `seconds` or there is no
        connection, and for the embedded broker, which cannot lose a consumer."""

    def count_consumers(self, queue: str, on_count: Callable[[int], None]) -> None:
        """Ask the broker how many consumers a queue has. `on_count` is never called if the broker does not answer."""

    def reconnect_consumer(self, reason: str) -> None:
        """Drop the consuming connection, as if it were lost, and open a new one."""

    def close(self, seconds: float) -> None:
        """Send what is waiting, then close."""


def is_connected(transport: Transport) -> bool:
    """Whether everything in the transport's options is set up now."""
    try:
        return transport.wait_until_ready(0)
    except TransportFailure:
        return False
