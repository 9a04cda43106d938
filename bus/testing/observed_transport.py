"""A worker's transport that a test watches, and that makes failures happen which the broker makes in real life."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from msgspec import structs

from bus.contract.names import is_reply_address
from bus.messaging.message import Delivery, Message
from bus.messaging.transport import PublishOutcome, Transport, TransportOptions
from bus.testing.waiting import wait_until


class NotDelivered(ValueError):
    """No message with this id has reached a service of this test. The test's fault."""


class Deliveries:
    """The messages that reached the services of a test, and how often each was acknowledged."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: dict[str, tuple[Message, Transport]] = {}
        self._acknowledged: Counter[str] = Counter()
        self._loses_next = False
        self._unanswered: set[str] = set()

    def repeat(self, message_id: str, seconds: float) -> None:
        """Have the message delivered again, and wait until it is acknowledged. Raises NotDelivered, TimeoutError."""
        with self._lock:
            if message_id not in self._messages:
                raise NotDelivered(f"No message with the id {message_id!r} was delivered to a service of this test.")
            message, transport = self._messages[message_id]
            before = self._acknowledged[message_id]
        transport.publish(structs.replace(message, reply_to=None), lambda _outcome: None)
        wait_until(lambda: self._acknowledged[message_id] > before, seconds, f"{message_id} is handled again")

    def times_handled(self, message_id: str) -> int:
        """How often a message with this id was acknowledged."""
        return self._acknowledged[message_id]

    def lose_next_answer(self) -> None:
        """Of the next request that is answered, drop the reply and deliver the message again."""
        with self._lock:
            self._loses_next = True

    def delivered(self, delivery: Delivery, transport: Transport) -> None:
        """A message was delivered."""
        if (message_id := delivery.message.message_id) is not None:
            with self._lock:
                self._messages[message_id] = delivery.message, transport

    def acknowledged(self, deliveries: Sequence[Delivery]) -> None:
        """Messages were acknowledged."""
        with self._lock:
            self._acknowledged.update(each.message.message_id for each in deliveries if each.message.message_id)

    def loses(self, reply: Message) -> bool:
        """Whether this reply is the one to lose."""
        with self._lock:
            if not self._loses_next or not is_reply_address(reply.queue):
                return False
            self._loses_next = False
            self._unanswered.add(str(reply.correlation_id))
            return True

    def is_unanswered(self, delivery: Delivery) -> bool:
        """Whether this is the message whose reply was lost; true once."""
        with self._lock:
            key = str(delivery.message.correlation_id)
            if key not in self._unanswered:
                return False
            self._unanswered.remove(key)
            return True


class ObservedTransport:
    """A transport that reports what it delivers. Everything else is the transport's own."""

    def __init__(self, transport: Transport, deliveries: Deliveries) -> None:
        self._transport, self._deliveries = transport, deliveries
        self._on_delivery: Callable[[Delivery], None] = lambda _delivery: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def open(self, options: TransportOptions) -> None:
        """As `Transport.open`."""
        if options.on_delivery is not None:
            self._on_delivery = options.on_delivery
            options = replace(options, on_delivery=self._deliver)
        self._transport.open(options)

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None] | None = None) -> None:
        """As `Transport.publish`; a reply that is to be lost is dropped."""
        if on_outcome is not None or not self._deliveries.loses(message):
            self._transport.publish(message, on_outcome)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """As `Transport.acknowledge`; a message whose reply was lost is delivered again instead."""
        again = [each for each in deliveries if self._deliveries.is_unanswered(each)]
        done = [each for each in deliveries if each not in again]
        self._transport.acknowledge(done)
        self._deliveries.acknowledged(done)
        for each in again:
            self._on_delivery(each)

    def _deliver(self, delivery: Delivery) -> None:
        self._deliveries.delivered(delivery, self._transport)
        self._on_delivery(delivery)
