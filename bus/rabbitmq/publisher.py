"""The publisher: what leaves a process."""

import threading
from collections import deque
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from bus.confirms import Confirms, OnOutcome
from bus.message import Message
from bus.rabbitmq.link import Link
from bus.rabbitmq.properties import properties_of
from bus.transport import Outcome


class Publisher:
    """The publishing connection: requests with confirms, replies on a second channel without."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters) -> None:
        self.link = Link(loop, parameters, self._set_up, self._lost)
        self._loop = loop
        self._waiting: deque[tuple[Message, OnOutcome | None]] = deque()
        self._flush_is_due = False
        self._lock = threading.Lock()
        self._confirms = Confirms()
        self._reply_channel: Channel | None = None

    def publish(self, message: Message, on_outcome: OnOutcome | None) -> None:
        """From any thread: many messages wake the I/O thread once."""
        self._waiting.append((message, on_outcome))
        with self._lock:
            wake, self._flush_is_due = not self._flush_is_due, True
        if wake:
            self._loop.add_callback_threadsafe(self._flush)

    @property
    def awaits_answers(self) -> bool:
        """Whether messages are under way that the broker has not confirmed or refused."""
        return len(self._confirms) > 0

    def _set_up(self, channel: Channel) -> None:
        self._confirms = Confirms()
        channel.add_on_return_callback(self._returned)
        channel.confirm_delivery(self._answered, lambda _frame: self._open_reply_channel())

    def _open_reply_channel(self) -> None:
        connection = self.link.channel.connection if self.link.channel else None
        if connection is not None and connection.is_open:
            connection.channel(on_open_callback=self._reply_channel_opened)

    def _reply_channel_opened(self, channel: Channel) -> None:
        self._reply_channel = channel
        channel.add_on_close_callback(lambda _channel, reason: self.link.restart(str(reason)))
        self.link.ready()

    def _lost(self) -> None:
        self._reply_channel = None
        self._confirms.lost()

    def _flush(self) -> None:
        with self._lock:
            self._flush_is_due = False
        with self.link.one_write():
            while self._waiting:
                message, on_outcome = self._waiting.popleft()
                if on_outcome is None:
                    self._send_unconfirmed(message)
                else:
                    self._send_confirmed(message, on_outcome)

    def _send_unconfirmed(self, message: Message) -> None:
        if self._reply_channel is not None and self._reply_channel.is_open:
            self._reply_channel.basic_publish("", message.queue, message.body, properties_of(message))

    def _send_confirmed(self, message: Message, on_outcome: OnOutcome) -> None:
        channel = self.link.channel
        if channel is None or self._reply_channel is None or not channel.is_open:
            on_outcome(Outcome.AWAY)
        elif self.link.blocked:
            on_outcome(Outcome.BLOCKED)
        else:
            self._confirms.sent(message.message_id or "", message.queue, on_outcome)
            channel.basic_publish("", message.queue, message.body, properties_of(message), mandatory=True)

    def _returned(self, _channel: Channel, method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        self._confirms.returned(properties.message_id or "", method.routing_key)

    def _answered(self, frame: Any) -> None:
        accepted = isinstance(frame.method, pika.spec.Basic.Ack)
        self._confirms.answered(frame.method.delivery_tag, frame.method.multiple, accepted)
