"""The transport interface: all that the rest of `bus` knows of a broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from bus.messaging.message import Delivery, Message
from bus.messaging.topology import Queue


class PublishOutcome(Enum):
    """What became of a published message."""

    CONFIRMED = "The broker has taken responsibility for it."
    FULL = "The queue is full and refused it."
    UNROUTABLE = "There is no such queue."
    BLOCKED = "The broker takes no messages now: it is out of memory or disk."
    DISCONNECTED = "There is no connection to the broker; the message was not sent."
    UNKNOWN = "The connection was lost before the broker said anything."


class TransportFailure(Exception):
    """The broker answers, but trying again will not help: a queue declared differently, no permission.

    The operator's to mend; the message is one sentence for them.
    """


@dataclass(frozen=True)
class TransportOptions:
    """What a process wants of its transport. Callbacks run on the transport's thread and return at once.

    `declares`: queues that must exist, now and after every reconnect. `consumes`: queues to take
    messages from, at most `prefetch` unacknowledged ones of each (of some, the number in `prefetches`),
    given to `on_delivery`. With `on_reply` a reply address is opened; `on_replies_lost` tells that
    replies under way can no longer arrive, or not while the broker is blocked.
    """

    declares: Sequence[Queue] = ()
    consumes: Sequence[Queue] = ()
    prefetch: int = 1
    prefetches: Mapping[str, int] = field(default_factory=dict)
    on_delivery: Callable[[Delivery], None] | None = None
    on_reply: Callable[[Message], None] | None = None
    on_replies_lost: Callable[[], None] = lambda: None

    def prefetch_of(self, queue: Queue) -> int:
        """How many unacknowledged messages of a queue may be in hand."""
        return self.prefetches.get(queue.name, self.prefetch)


@dataclass(frozen=True)
class QueueView:
    """A consumed queue as broker and consumer see it at one moment.

    `ready` and `consumers` are the broker's counts. `delivered` is how many messages came over our connection
    number `session`, of which `in_hand` are unacknowledged; it may be `prefetch`. With `one_at_a_time` the broker
    gives messages to one of the consumers only.
    """

    queue: str
    ready: int
    consumers: int
    session: int
    delivered: int
    in_hand: int
    prefetch: int
    one_at_a_time: bool = False


class Transport(Protocol):
    """One process's way to a broker. Every method may be called from any thread, and none waits
    longer than it says."""

    @property
    def failure(self) -> TransportFailure | None:
        """Why this transport has given up; None while it works or still tries."""

    @property
    def reply_address(self) -> str | None:
        """The queue our replies come to; None while there is no connection."""

    @property
    def dropped_replies(self) -> int:
        """How many messages published without `on_outcome` found no queue."""

    def describe(self) -> str:
        """The broker in a few words, without credentials."""

    def open(self, options: TransportOptions) -> None:
        """Start to connect, in the background, and keep trying. Called once, first."""

    def wait_until_ready(self, seconds: float) -> bool:
        """Wait until everything the wiring asks for is there. Raises TransportFailure."""

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None] | None = None) -> None:
        """Send a message. With `on_outcome` the broker is asked, and the answer given exactly once;
        without, the message is dropped where it cannot be delivered (replies). An event that nobody
        listens to is delivered."""

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Done with these. Those of a lost connection are ignored: the broker delivers them again."""

    def stop_consuming(self, on_stopped: Callable[[], None] = lambda: None) -> None:
        """Take no more messages; those already here can still be acknowledged.

        `on_stopped` is called once nothing more can come but events. Those end with the connection, for
        another worker would be given later ones at once, while earlier ones are still in our hands.
        """

    def view(self, seconds: float) -> Sequence[QueueView]:
        """The queues that we consume now. Waits at most so long for the broker's answer; empty without one, while
        there is no connection, and of a broker that can lose no consumer."""

    def consume_anew(self, reason: str) -> None:
        """Give up the consuming connection, as if it were lost, and consume over a new one."""

    def close(self, seconds: float) -> None:
        """Send what is waiting, then close; takes at most this long."""


def is_connected(transport: Transport) -> bool:
    """Whether all that the transport was asked for is there now."""
    try:
        return transport.wait_until_ready(0)
    except TransportFailure:
        return False
