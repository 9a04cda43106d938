"""The consumer: what comes to a process."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from bus import failpoints
from bus.messaging.message import Delivery, arrived
from bus.messaging.rabbitmq.acknowledgements import Unacknowledged
from bus.messaging.rabbitmq.properties import message_of
from bus.messaging.rabbitmq.queue_counts import Counts
from bus.messaging.rabbitmq.reconnecting import ReconnectingConnection
from bus.messaging.topology import EVENTS_EXCHANGE, REQUEST_KINDS, REQUESTS_EXCHANGE, RETRIED, UNROUTABLE, Queue
from bus.messaging.transport import QueueView, TransportOptions


class Consumer:
    """The consuming connection: declares, consumes, acknowledges, and owns the reply queue."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters, options: TransportOptions) -> None:
        self.link = ReconnectingConnection(loop, parameters, self._set_up, self._lost)
        self.reply_address: str | None = None
        self._options = options
        self._tags: list[str] = []
        self._session = 0
        self._unacknowledged = Unacknowledged()
        self._delivered: Counter[str] = Counter()
        self._stopped = False

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        channel = self.link.channel
        if channel is None or not channel.is_open:
            return
        tags = [delivery.tag for delivery in deliveries if delivery.session == self._session]
        failpoints.reach("worker.before-ack")  # replies handed over before have been written to the socket
        for tag, multiple in self._unacknowledged.done(tags):
            channel.basic_ack(tag, multiple)

    @property
    def consumed(self) -> list[str]:
        """The queues that we take messages from now; none while that is being set up."""
        is_consuming = self.link.settled.is_set() and not self._stopped
        return [queue.name for queue in self._options.consumes] if is_consuming else []

    def views(self, counts: Mapping[str, Counts]) -> list[QueueView]:
        """Those of the consumed queues that the broker has told of."""
        in_hand = self._unacknowledged.by_queue()
        return [
            QueueView(
                queue=queue.name,
                ready=counts[queue.name].ready,
                consumers=counts[queue.name].consumers,
                session=self._session,
                delivered=self._delivered[queue.name],
                in_hand=in_hand[queue.name],
                prefetch=self._options.prefetch_of(queue),
                one_at_a_time=queue.kind == "events",
            )
            for queue in self._options.consumes
            if queue.name in counts and queue.name in self.consumed
        ]

    def stop(self, on_stopped: Callable[[], None]) -> None:
        self._stopped = True
        tags, self._tags = self._tags, []
        channel = self.link.channel
        if channel is None or not channel.is_open or not tags:
            on_stopped()
            return
        for tag in tags[:-1]:
            channel.basic_cancel(tag, callback=lambda _frame: None)
        # Answered in order, so the last answer says that nothing more comes.
        channel.basic_cancel(tags[-1], callback=lambda _frame: on_stopped())

    def close(self, on_closed: Callable[[], None]) -> None:
        """Close the connection; called last.

        Of a consumer that says farewell RabbitMQ takes back what is in its hands after it has given later
        messages to the next one. Of one that is lost it takes it back first, and so events keep their order.
        """
        has_order = any(queue.kind == "events" for queue in self._options.consumes)
        (self.link.drop if has_order else self.link.close)(on_closed)

    def _set_up(self, channel: Channel) -> None:
        """Ask for everything at once: pika sends one method after the other's answer, in this order."""
        self._session += 1
        self._unacknowledged = Unacknowledged()
        self._delivered = Counter()
        channel.add_on_cancel_callback(lambda _frame: self.link.restart("a consumed queue was deleted"))
        self._declare(channel)
        self._consume(channel)
        if self._options.on_reply is None:
            # The answer to a last, harmless question says that all before it has been done.
            channel.basic_qos(prefetch_count=self._options.prefetch, callback=lambda _frame: self.link.ready())
        else:
            channel.queue_declare("", exclusive=True, callback=lambda frame: self._reply_queue(channel, frame))

    def _declare(self, channel: Channel) -> None:
        if not self._options.declares:
            return
        _declare_exchange(channel, REQUESTS_EXCHANGE, "direct")
        _declare_exchange(channel, EVENTS_EXCHANGE, "topic")
        for queue in self._options.declares:
            arguments, own = queue.arguments(), queue.kind == "watch"
            channel.queue_declare(
                queue.name, durable=True, exclusive=own, arguments=arguments, callback=lambda _frame: None
            )
            for exchange, key in _bindings(channel, queue):
                channel.queue_bind(queue.name, exchange, key, callback=lambda _frame: None)

    def _consume(self, channel: Channel) -> None:
        self._tags = []
        for queue in () if self._stopped else self._options.consumes:
            prefetch = self._options.prefetch_of(queue)
            channel.basic_qos(prefetch_count=prefetch, callback=lambda _frame: None)  # of consumers that come after
            on_message = self._on_message(queue, self._session)
            tag = channel.basic_consume(queue.name, on_message, callback=lambda _frame: None)
            if queue.kind != "events":  # whose next consumer must not begin before all in our hands has gone back
                self._tags.append(tag)

    def _on_message(self, queue: Queue, session: int) -> Callable[..., None]:
        on_delivery = self._options.on_delivery

        def deliver(_channel: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._unacknowledged.delivered(method.delivery_tag, queue.name)
            self._delivered[queue.name] += 1
            if on_delivery is not None:
                on_delivery(
                    arrived(
                        message_of(queue.name, properties, body),
                        tag=method.delivery_tag,
                        session=session,
                        deaths=_deaths(properties) if method.redelivered else 0,
                    )
                )

        return deliver

    def _reply_queue(self, channel: Channel, frame: Any) -> None:
        name, on_reply = frame.method.queue, self._options.on_reply
        if on_reply is None:
            return

        def deliver(_channel: Channel, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            on_reply(message_of(name, properties, body))

        def consuming(_frame: Any) -> None:
            self.reply_address = name
            self.link.ready()

        channel.basic_consume(name, deliver, auto_ack=True, exclusive=True, callback=consuming)

    def _lost(self) -> None:
        self.reply_address = None
        self._options.on_replies_lost()


def _declare_exchange(channel: Channel, name: str, kind: str, arguments: dict[str, str] | None = None) -> None:
    channel.exchange_declare(name, kind, durable=True, arguments=arguments, callback=lambda _frame: None)


def _bindings(channel: Channel, queue: Queue) -> Iterator[tuple[str, str]]:
    """The exchanges that lead to a queue, each with the routing key."""
    if queue.kind in REQUEST_KINDS:
        yield REQUESTS_EXCHANGE, queue.name
    if queue.kind == "command":
        _declare_way_back(channel, queue.service)
        yield f"{queue.service}{RETRIED}", queue.name
    if queue.kind == "retry":
        _declare_way_back(channel, queue.service)
        _declare_exchange(channel, queue.name, "fanout")
        yield queue.name, ""
    if queue.kind == "dead":
        _declare_exchange(channel, f"{queue.service}{UNROUTABLE}", "fanout")
        yield f"{queue.service}{UNROUTABLE}", ""
    for topic in queue.topics:
        yield EVENTS_EXCHANGE, topic


def _declare_way_back(channel: Channel, service: str) -> None:
    """From the retry queues to the commands' own; what belongs to none is a dead letter."""
    _declare_exchange(channel, f"{service}{RETRIED}", "direct", {"alternate-exchange": f"{service}{UNROUTABLE}"})


def _deaths(properties: pika.BasicProperties) -> int:
    """How many consumers were lost with this message in hand; classic queues do not count beyond one."""
    count = (properties.headers or {}).get("x-delivery-count")
    return max(1, count) if isinstance(count, int) else 1
