"""The consuming connection of a process. Everything that declares, consumes and acknowledges is here.

Its rules:

- All of it runs on the I/O thread; `transport.py` brings the calls of other threads there.
- Every new connection is a new session: it declares all queues with their bindings, then consumes them, then opens the
  reply queue, and only then is ready. What an old session delivered is not acknowledged any more, because the broker
  delivers it again.
- While it is open, everything is declared again every three seconds (`declaring.py`), since anything may be deleted.
- Of a body that is longer than the options say, the rest is dropped as it comes. So the memory for unacknowledged
  messages is bounded by their number.
- A message is acknowledged, and never rejected or requeued. What is unacknowledged goes back to its queue when the
  connection is lost, and the broker counts that.
- Events stay in order. Their consumers are never cancelled, and their connection ends without a close handshake, so
  that the broker requeues the unacknowledged events before it delivers later ones to the next consumer.
"""

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pika
from pika.channel import Channel

from bus import failpoints
from bus.messaging.declarations import declarations
from bus.messaging.message import Delivery, Message, arrived
from bus.messaging.rabbitmq.acknowledgements import Unacknowledged
from bus.messaging.rabbitmq.declaring import Upkeep, declare
from bus.messaging.rabbitmq.fast_lane import OnMessage
from bus.messaging.rabbitmq.io_loop import IOLoop
from bus.messaging.rabbitmq.properties import message_of
from bus.messaging.rabbitmq.reconnecting import ReconnectingConnection
from bus.messaging.topology import Queue
from bus.messaging.transport import QueueCounts, QueueView, TransportOptions


class Consumer:
    """Consumes the queues that the options name. `reply_address` is the reply queue, while there is one."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters, options: TransportOptions) -> None:
        self.connection = ReconnectingConnection(loop, parameters, self._set_up, self._lost)
        self.reply_address: str | None = None
        self._options = options
        self._upkeep = Upkeep(loop, self.connection, [queue for queue in options.declares if queue.kind != "watch"])
        self._tags: list[str] = []
        self._session = 0
        self._unacknowledged = Unacknowledged()
        self._delivered: Counter[str] = Counter()
        self._stopped = False

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        channel = self.connection.channel
        if channel is None or not channel.is_open:
            return
        tags = [delivery.tag for delivery in deliveries if delivery.session == self._session]
        failpoints.reach("worker.before-ack")  # the replies to these were written to the socket before
        with self.connection.buffered_writes():
            for tag, multiple in self._unacknowledged.done(tags):
                channel.connection.acknowledge(channel, tag, multiple)

    @property
    def consumed(self) -> list[str]:
        """The queues that are consumed now; none during the set-up."""
        is_consuming = self.connection.settled.is_set() and not self._stopped
        return [queue.name for queue in self._options.consumes] if is_consuming else []

    def views(self, counts: Mapping[str, QueueCounts]) -> list[QueueView]:
        """The consumed queues that the broker has counted."""
        unacknowledged = self._unacknowledged.by_queue()
        return [
            QueueView(
                queue=queue.name,
                ready=counts[queue.name].messages,
                consumers=counts[queue.name].consumers,
                session=self._session,
                delivered=self._delivered[queue.name],
                unacknowledged=unacknowledged[queue.name],
                prefetch=self._options.prefetch_of(queue),
                single_active_consumer=queue.kind == "events",
            )
            for queue in self._options.consumes
            if queue.name in counts and queue.name in self.consumed
        ]

    def stop(self, on_stopped: Callable[[], None]) -> None:
        self._stopped = True
        tags, self._tags = self._tags, []
        channel = self.connection.channel
        if channel is None or not channel.is_open or not tags:
            on_stopped()
            return
        for tag in tags[:-1]:
            channel.basic_cancel(tag, callback=lambda _frame: None)
        # The broker answers in order, so after the last answer it delivers nothing more.
        channel.basic_cancel(tags[-1], callback=lambda _frame: on_stopped())

    def close(self, on_closed: Callable[[], None]) -> None:
        """Close the connection. Call it last.

        When a connection is closed with a handshake, RabbitMQ delivers later messages to the next consumer before it
        requeues the unacknowledged ones. When a connection is lost, it requeues first, and so events stay in order.
        """
        has_order = any(queue.kind == "events" for queue in self._options.consumes)
        (self.connection.drop if has_order else self.connection.close)(on_closed)

    def _set_up(self, channel: Channel) -> None:
        """Request everything at once. pika keeps the order: it sends each method after the answer to the one before."""
        self._session += 1
        self._unacknowledged = Unacknowledged()
        self._delivered = Counter()
        channel.add_on_cancel_callback(lambda _frame: self.connection.restart("a consumed queue was deleted"))
        for each in declarations(self._options.declares):
            declare(channel, each, lambda _frame: None)
        self._upkeep.start()
        self._consume(channel)
        if self._options.on_reply is None:
            # When this harmless method is answered, everything before it has been done.
            channel.basic_qos(prefetch_count=self._options.prefetch, callback=lambda _frame: self.connection.ready())
        else:
            channel.queue_declare("", exclusive=True, callback=lambda frame: self._reply_queue(channel, frame))

    def _consume(self, channel: Channel) -> None:
        self._tags = []
        for queue in () if self._stopped else self._options.consumes:
            prefetch = self._options.prefetch_of(queue)
            channel.basic_qos(prefetch_count=prefetch, callback=lambda _frame: None)  # for consumers started later
            on_message = self._on_message(queue, self._session)
            tag = _consume(channel, queue.name, on_message, self._options.body_bytes, callback=lambda _frame: None)
            if queue.kind != "events":  # see the rules above
                self._tags.append(tag)

    def _on_message(self, queue: Queue, session: int) -> OnMessage:
        on_delivery = self._options.on_delivery

        def deliver(tag: int, redelivered: bool, message: Message) -> None:
            self._unacknowledged.delivered(tag, queue.name)
            self._delivered[queue.name] += 1
            if on_delivery is not None:
                on_delivery(arrived(message, tag=tag, session=session, deaths=_deaths(message) if redelivered else 0))

        return deliver

    def _reply_queue(self, channel: Channel, frame: Any) -> None:
        name, on_reply = frame.method.queue, self._options.on_reply
        if on_reply is None:
            return

        def deliver(_tag: int, _redelivered: bool, message: Message) -> None:
            on_reply(message)

        def consuming(_frame: Any) -> None:
            self.reply_address = name
            self.connection.ready()

        _consume(channel, name, deliver, auto_ack=True, exclusive=True, callback=consuming)

    def _lost(self) -> None:
        self.reply_address = None
        self._options.on_replies_lost()


def _consume(channel: Channel, queue: str, on_message: OnMessage, most: int = sys.maxsize, **options: Any) -> str:
    """Consume a queue, with pika for the messages that only it can decode; returns the consumer tag.

    At most `most` bytes of a body are received.
    """

    def decoded_by_pika(_channel: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        on_message(method.delivery_tag, method.redelivered, message_of(queue, properties, body))

    tag = str(channel.basic_consume(queue, decoded_by_pika, **options))
    channel.connection.on_messages(channel, tag, queue, on_message, most)
    return tag


def _deaths(message: Message) -> int:
    """How many consumers were lost before they acknowledged this message; classic queues count only the first."""
    count = message.headers.get("x-delivery-count")
    return max(1, count) if isinstance(count, int) else 1
