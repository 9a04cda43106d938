"""The publishing connection of a process: requests with confirms on one channel, replies without on a second."""

import threading
from collections import deque
from typing import Any

import pika
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from bus.contract.names import DIRECT_REPLY_TO
from bus.messaging.message import Message
from bus.messaging.rabbitmq.confirm_channel import ConfirmingChannel
from bus.messaging.rabbitmq.confirms import OnOutcome
from bus.messaging.rabbitmq.io_loop import IOLoop
from bus.messaging.rabbitmq.reconnecting import ReconnectingConnection
from bus.messaging.transport import PublishOutcome


class Publisher:
    """Publishes from any thread. `dropped_replies` counts replies whose queue does not exist."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters) -> None:
        self.connection = ReconnectingConnection(loop, parameters, self._set_up, self._lost)
        self._loop = loop
        self._waiting: deque[tuple[Message, OnOutcome | None]] = deque()
        self._flush_is_due = False
        self._lock = threading.Lock()
        self._requests: ConfirmingChannel | None = None
        self._retired: list[ConfirmingChannel] = []
        self._renewal_is_due = False
        self._reply_channel: Channel | None = None
        self.dropped_replies = 0

    def publish(self, message: Message, on_outcome: OnOutcome | None) -> None:
        """Hand a message to the I/O thread, which is woken once for many messages. May be called from any thread."""
        self._waiting.append((message, on_outcome))
        with self._lock:
            wake, self._flush_is_due = not self._flush_is_due, True
        if wake:
            self._loop.add_callback_threadsafe(self._flush)

    @property
    def has_unconfirmed(self) -> bool:
        """Whether the broker has yet to confirm or refuse a message."""
        return any(channel.has_unconfirmed for channel in self._confirming())

    def _confirming(self) -> list[ConfirmingChannel]:
        return [*self._retired, *([self._requests] if self._requests else [])]

    def _set_up(self, channel: Channel) -> None:
        self._requests = ConfirmingChannel(channel, lambda _channel: self._open_reply_channel())

    def _open_reply_channel(self) -> None:
        if (connection := self.connection.pika_connection) is not None:
            connection.channel(on_open_callback=self._reply_channel_opened)

    def _reply_channel_opened(self, channel: Channel) -> None:
        self._reply_channel = channel
        channel.add_on_close_callback(lambda _channel, reason: self.connection.restart(str(reason)))
        channel.add_on_return_callback(self._reply_returned)
        self.connection.ready()

    def _lost(self) -> None:
        lost = self._confirming()
        self._reply_channel, self._requests, self._retired, self._renewal_is_due = None, None, [], False
        for channel in lost:
            channel.lost()

    def _renew(self) -> None:
        """Open a new channel for further requests, because the broker refuses everything on the old one."""
        connection = self.connection.pika_connection
        if not self._renewal_is_due and connection is not None:
            self._renewal_is_due = True
            connection.channel(on_open_callback=self._renewal_opened)

    def _renewal_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._renewal_closed)
        ConfirmingChannel(channel, self._renewed)

    def _renewal_closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self.connection.restart(str(reason))

    def _renewed(self, channel: ConfirmingChannel) -> None:
        old, self._requests, self._renewal_is_due = self._requests, channel, False
        self._retired = [retired for retired in self._retired if retired.is_open]
        if old is not None:
            self._retired.append(old)
            old.retire()

    def _flush(self) -> None:
        with self._lock:
            self._flush_is_due = False
        with self.connection.buffered_writes():
            while self._waiting:
                message, on_outcome = self._waiting.popleft()
                if on_outcome is None:
                    self._send_unconfirmed(message)
                else:
                    self._send_confirmed(message, on_outcome)

    def _send_unconfirmed(self, message: Message) -> None:
        if self._reply_channel is not None and self._reply_channel.is_open:
            # Mandatory, to count dropped replies. Direct reply-to returns even what it delivers (RabbitMQ 3.10 to 4.1).
            mandatory = not message.queue.startswith(DIRECT_REPLY_TO)
            self._reply_channel.connection.publish(self._reply_channel, message, mandatory=mandatory)

    def _send_confirmed(self, message: Message, on_outcome: OnOutcome) -> None:
        channel = self._requests
        if channel is None or self._reply_channel is None or not channel.is_open:
            on_outcome(PublishOutcome.DISCONNECTED)
        elif self.connection.blocked:
            on_outcome(PublishOutcome.BLOCKED)
        else:
            channel.publish(message, on_outcome)
            if channel.is_suspicious:
                self._renew()

    def _reply_returned(self, *_: Any) -> None:
        self.dropped_replies += 1
