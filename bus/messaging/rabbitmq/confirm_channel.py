"""A channel in confirm mode, on which each message gets its outcome."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
from pika.channel import Channel

from bus.messaging.message import Message
from bus.messaging.rabbitmq.confirms import Confirms, OnOutcome, Refusals
from bus.messaging.rabbitmq.pika_connection import Connection
from bus.messaging.topology import EVENTS_EXCHANGE
from bus.messaging.transport import PublishOutcome


class ConfirmingChannel:
    """One channel in confirm mode. `on_ready` is called when the broker has switched it to that mode."""

    def __init__(self, channel: Channel, on_ready: Callable[["ConfirmingChannel"], None]) -> None:
        self._channel = channel
        self._confirms = Confirms()
        self._refusals = Refusals()
        self._is_retired = False
        channel.add_on_return_callback(self._returned)
        connection: Connection = channel.connection
        self._connection = connection
        connection.on_confirms(channel, self._answered)
        channel.confirm_delivery(self._confirmed_by_pika, lambda _frame: on_ready(self))

    @property
    def is_open(self) -> bool:
        return bool(self._channel.is_open)

    @property
    def has_unconfirmed(self) -> bool:
        """Whether the broker has yet to confirm or refuse a message."""
        return len(self._confirms) > 0

    @property
    def is_suspicious(self) -> bool:
        """Whether the broker may refuse messages because of this channel, and not because of a queue."""
        return self._refusals.last_too_long(time.monotonic())

    def publish(self, message: Message, on_outcome: OnOutcome) -> None:
        """Publish a message. `on_outcome` is called exactly once, also when the channel is lost."""
        self._confirms.sent(message.message_id or "", message.queue, partial(self._settled, message.queue, on_outcome))
        mandatory = message.exchange != EVENTS_EXCHANGE
        self._connection.publish(self._channel, message, mandatory=mandatory)

    def retire(self) -> None:
        """Close the channel once it has no unconfirmed message. Publish nothing on it after this."""
        self._is_retired = True
        self._close_if_done()

    def lost(self) -> None:
        """The connection is lost: the outcome of unconfirmed messages is unknown."""
        self._confirms.lost()

    def _settled(self, queue: str, on_outcome: OnOutcome, outcome: PublishOutcome) -> None:
        self._refusals.note(queue, outcome, time.monotonic())
        on_outcome(outcome)

    def _returned(self, _channel: Channel, method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        self._confirms.returned(properties.message_id or "", method.routing_key)

    def _confirmed_by_pika(self, frame: Any) -> None:
        """A confirm that is not of the usual size."""
        accepted = isinstance(frame.method, pika.spec.Basic.Ack)
        self._answered(frame.method.delivery_tag, frame.method.multiple, accepted)

    def _answered(self, tag: int, multiple: bool, accepted: bool) -> None:
        self._confirms.answered(tag, multiple, accepted)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._is_retired and self.is_open and not self.has_unconfirmed:
            self._channel.close()
