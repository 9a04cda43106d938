"""The transport for RabbitMQ: one I/O loop with two connections, one to publish and one to consume.

They are apart because a broker that blocks a publishing connection reads no acknowledgements from it. The loop runs in
a thread of its own, or is the event loop of a front end. Other threads hand their calls to it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import pika

from bus.messaging.broker_url import BrokerUrl
from bus.messaging.message import Delivery, Message
from bus.messaging.rabbitmq.confirms import OnOutcome
from bus.messaging.rabbitmq.consumer import Consumer
from bus.messaging.rabbitmq.io_loop import IOLoop, OwnLoop, SharedLoop
from bus.messaging.rabbitmq.properties import TolerantProperties
from bus.messaging.rabbitmq.publisher import Publisher
from bus.messaging.rabbitmq.queue_counts import QueueCounter
from bus.messaging.rabbitmq.reconnecting import parameters_for
from bus.messaging.transport import PublishOutcome, QueueView, TransportFailure, TransportOptions

# While closing: how often to check whether all confirms have come; they take a few milliseconds.
CLOSE_POLL_SECONDS = 0.01


class RabbitMQ:
    """The transport for `amqp://` and `amqps://` URLs; see `bus.messaging.transport.Transport`.

    `loop` is a running event loop to use instead of a thread.
    """

    is_embedded = False

    def __init__(self, broker: BrokerUrl, name: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        pika.spec.props[pika.BasicProperties.INDEX] = TolerantProperties  # pika has no setting for it
        self._parameters = parameters_for(broker, name)
        self._loop: IOLoop = OwnLoop(name) if loop is None else SharedLoop(loop)
        self._publisher = Publisher(self._loop, self._parameters)
        self._consumer: Consumer | None = None

    @property
    def failure(self) -> TransportFailure | None:
        consumer_failure = self._consumer.connection.failure if self._consumer else None
        if self._loop.defect is not None:
            return TransportFailure(f"The I/O thread of RabbitMQ failed because of a bug: {self._loop.defect!r}")
        return self._publisher.connection.failure or consumer_failure

    @property
    def reply_address(self) -> str | None:
        return self._consumer.reply_address if self._consumer else None

    @property
    def dropped_replies(self) -> int:
        return self._publisher.dropped_replies

    def describe(self) -> str:
        return f"RabbitMQ at {self._parameters.host}:{self._parameters.port}"

    def open(self, options: TransportOptions) -> None:
        self._consumer = Consumer(self._loop, self._parameters, options)
        self._publisher.connection.on_blocked = options.on_replies_lost  # the broker blocks those who reply too
        self._soon(self._publisher.connection.connect)
        self._soon(self._consumer.connection.connect)
        self._loop.start()

    def wait_until_ready(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        connections = [self._publisher.connection] + ([self._consumer.connection] if self._consumer else [])
        ready = all(each.settled.wait(max(0.0, deadline - time.monotonic())) for each in connections)
        if failure := self.failure:
            raise failure
        return ready

    def publish(self, message: Message, on_outcome: OnOutcome | None = None) -> None:
        if self._loop.is_running:
            self._publisher.publish(message, on_outcome)
        elif on_outcome is not None:
            on_outcome(PublishOutcome.DISCONNECTED)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if consumer := self._consumer:
            self._soon(lambda: consumer.acknowledge(deliveries))

    def stop_consuming(self, on_stopped: Callable[[], None] = lambda: None) -> None:
        if consumer := self._consumer:
            self._soon(lambda: consumer.stop(on_stopped))

    def view(self, seconds: float) -> Sequence[QueueView]:
        answers: SimpleQueue[Sequence[QueueView]] = SimpleQueue()
        self._soon(lambda: self._inspect(answers.put))
        try:
            return answers.get(timeout=seconds)
        except Empty:
            return ()

    def count_consumers(self, queue: str, on_count: Callable[[int], None]) -> None:
        def ask() -> None:
            if (connection := self._publisher.connection.pika_connection) is not None:
                QueueCounter(connection, [queue], lambda counts: on_count(counts[queue].consumers))

        self._soon(ask)

    def reconnect_consumer(self, reason: str) -> None:
        if consumer := self._consumer:
            self._soon(lambda: consumer.connection.reset(reason))

    def close(self, seconds: float) -> None:
        if not self._loop.is_running:
            return
        deadline = time.monotonic() + seconds / 2
        self._soon(lambda: self._close_when_confirmed(deadline))
        self._loop.join(seconds)

    def _inspect(self, on_views: Callable[[Sequence[QueueView]], None]) -> None:
        """Ask over the publishing connection, because the consuming one may be the one that does not work."""
        consumer, connection = self._consumer, self._publisher.connection.pika_connection
        if consumer is None or connection is None or not consumer.consumed:
            on_views(())
        else:
            QueueCounter(connection, consumer.consumed, lambda counts: on_views(consumer.views(counts)))

    def _close_when_confirmed(self, deadline: float) -> None:
        """Wait for confirms first: when a channel is closed, a quorum queue may lose what it has not confirmed."""
        if self._publisher.has_unconfirmed and time.monotonic() < deadline:
            self._loop.call_later(CLOSE_POLL_SECONDS, lambda: self._close_when_confirmed(deadline))
        else:
            self._close()

    def _close(self) -> None:
        """Close both connections, after what is buffered has been written, and end the I/O thread."""
        connections = [self._publisher.connection] + ([self._consumer.connection] if self._consumer else [])
        are_open = [each for each in connections if each.is_open]
        remaining = len(are_open)

        def closed() -> None:
            nonlocal remaining
            remaining -= 1
            if not remaining:
                self._loop.stop()

        self._publisher.connection.close(closed)
        if self._consumer:
            self._consumer.close(closed)
        if not are_open:
            self._loop.stop()

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.add_callback_threadsafe(work)
