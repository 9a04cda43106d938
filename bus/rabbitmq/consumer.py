"""The consumer: what comes to a process."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pika
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel

from bus.acknowledgements import Unacknowledged
from bus.message import Delivery
from bus.rabbitmq.link import Link
from bus.rabbitmq.properties import message_of
from bus.topology import REQUESTS_EXCHANGE, Queue
from bus.transport import Wiring


class Consumer:
    """The consuming connection: declares, consumes, acknowledges, and owns the reply queue."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters, wiring: Wiring) -> None:
        self.link = Link(loop, parameters, self._set_up, self._lost)
        self.reply_address: str | None = None
        self._wiring = wiring
        self._tags: list[str] = []
        self._session = 0
        self._unacknowledged = Unacknowledged()
        self._stopped = False

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        channel = self.link.channel
        if channel is None or not channel.is_open:
            return
        tags = [delivery.tag for delivery in deliveries if delivery.session == self._session]
        for tag, multiple in self._unacknowledged.done(tags):
            channel.basic_ack(tag, multiple)

    def stop(self) -> None:
        self._stopped = True
        if self.link.channel is not None and self.link.channel.is_open:
            for tag in self._tags:
                self.link.channel.basic_cancel(tag)
        self._tags = []

    def _set_up(self, channel: Channel) -> None:
        """Ask for everything at once: pika sends one method after the other's answer, in this order."""
        self._session += 1
        self._unacknowledged = Unacknowledged()
        channel.add_on_cancel_callback(lambda _frame: self.link.restart("a consumed queue was deleted"))
        self._declare(channel)
        channel.basic_qos(prefetch_count=self._wiring.prefetch, callback=lambda _frame: None)
        self._consume(channel)
        if self._wiring.on_reply is None:
            # The answer to a last, harmless question says that all before it has been done.
            channel.basic_qos(prefetch_count=self._wiring.prefetch, callback=lambda _frame: self.link.ready())
        else:
            channel.queue_declare("", exclusive=True, callback=lambda frame: self._reply_queue(channel, frame))

    def _declare(self, channel: Channel) -> None:
        if not self._wiring.declares:
            return
        channel.exchange_declare(REQUESTS_EXCHANGE, "direct", durable=True, callback=lambda _frame: None)
        for queue in self._wiring.declares:
            arguments = queue.arguments()
            channel.queue_declare(queue.name, durable=True, arguments=arguments, callback=lambda _frame: None)
            if queue.kind != "dead":
                channel.queue_bind(queue.name, REQUESTS_EXCHANGE, queue.name, callback=lambda _frame: None)

    def _consume(self, channel: Channel) -> None:
        self._tags = []
        for queue in () if self._stopped else self._wiring.consumes:
            on_message = self._on_message(queue, self._session)
            self._tags.append(channel.basic_consume(queue.name, on_message, callback=lambda _frame: None))

    def _on_message(self, queue: Queue, session: int) -> Callable[..., None]:
        on_delivery = self._wiring.on_delivery

        def deliver(_channel: Channel, method: Any, properties: pika.BasicProperties, body: bytes) -> None:
            self._unacknowledged.delivered(method.delivery_tag)
            if on_delivery is not None:
                on_delivery(
                    Delivery(
                        message=message_of(queue.name, properties, body),
                        tag=method.delivery_tag,
                        session=session,
                        redelivered=method.redelivered,
                        received_at=time.monotonic(),
                    )
                )

        return deliver

    def _reply_queue(self, channel: Channel, frame: Any) -> None:
        name, on_reply = frame.method.queue, self._wiring.on_reply
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
        self._wiring.on_replies_lost()
