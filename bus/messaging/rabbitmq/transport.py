"""The transport: one thread that owns both connections of a process, to publish and to consume.

A broker that blocks publishers still takes acknowledgements, so each has a connection of its own.
Other threads hand their work to the thread through a queue.
"""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import pika
import structlog
from pika.adapters.select_connection import IOLoop

from bus.messaging.message import Delivery, Message
from bus.messaging.rabbitmq.confirms import OnOutcome
from bus.messaging.rabbitmq.consumer import Consumer
from bus.messaging.rabbitmq.properties import TolerantProperties
from bus.messaging.rabbitmq.publisher import Publisher
from bus.messaging.rabbitmq.queue_counts import Counting
from bus.messaging.rabbitmq.reconnecting import parameters_for
from bus.messaging.transport import PublishOutcome, QueueView, TransportFailure, TransportOptions

# While closing: how often to look whether all confirms have come; they take a few milliseconds.
CLOSE_POLL_SECONDS = 0.01

log = structlog.get_logger("bus.rabbitmq")


class RabbitMQ:
    """The transport for `amqp://` and `amqps://` URLs; see `bus.transport.Transport`."""

    def __init__(self, url: str, name: str) -> None:
        pika.spec.props[pika.BasicProperties.INDEX] = TolerantProperties  # pika has no other place to say it
        self._parameters = parameters_for(url, name)
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._run, name=f"{name}-rabbitmq", daemon=True)
        self._publisher = Publisher(self._loop, self._parameters)
        self._consumer: Consumer | None = None
        self._defect: TransportFailure | None = None

    @property
    def failure(self) -> TransportFailure | None:
        consumer_failure = self._consumer.link.failure if self._consumer else None
        return self._defect or self._publisher.link.failure or consumer_failure

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
        self._publisher.link.on_blocked = options.on_replies_lost  # whoever replies is blocked as we are
        self._soon(self._publisher.link.connect)
        self._soon(self._consumer.link.connect)
        self._thread.start()

    def wait_until_ready(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        links = [self._publisher.link] + ([self._consumer.link] if self._consumer else [])
        ready = all(link.settled.wait(max(0.0, deadline - time.monotonic())) for link in links)
        if failure := self.failure:
            raise failure
        return ready

    def publish(self, message: Message, on_outcome: OnOutcome | None = None) -> None:
        if self._thread.is_alive():
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

    def consume_anew(self, reason: str) -> None:
        if consumer := self._consumer:
            self._soon(lambda: consumer.link.reset(reason))

    def close(self, seconds: float) -> None:
        if not self._thread.is_alive():
            return
        patience = time.monotonic() + seconds / 2
        self._soon(lambda: self._close_when_answered(patience))
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._loop.start()
        except Exception as error:
            # A defect of ours or pika's. A process that looks alive and does nothing would be worse.
            log.exception("connection_thread_failed")
            self._defect = TransportFailure(f"The connection to RabbitMQ failed inside: {error!r}")

    def _inspect(self, tell: Callable[[Sequence[QueueView]], None]) -> None:
        """Over the publishing connection: what is wrong with the other one must not be in the way."""
        consumer, connection = self._consumer, self._publisher.link.connection
        if consumer is None or connection is None or not consumer.consumed:
            tell(())
        else:
            Counting(connection, consumer.consumed, lambda counts: tell(consumer.views(counts)))

    def _close_when_answered(self, patience: float) -> None:
        """What a quorum queue has not confirmed yet, a broker may forget when its channel is closed."""
        if self._publisher.awaits_answers and time.monotonic() < patience:
            self._loop.call_later(CLOSE_POLL_SECONDS, lambda: self._close_when_answered(patience))
        else:
            self._close()

    def _close(self) -> None:
        """Close both connections after what is buffered has been written, then end the thread."""
        links = [self._publisher.link] + ([self._consumer.link] if self._consumer else [])
        open_links = [link for link in links if link.is_open]
        remaining = len(open_links)

        def closed() -> None:
            nonlocal remaining
            remaining -= 1
            if not remaining:
                self._loop.stop()

        self._publisher.link.close(closed)
        if self._consumer:
            self._consumer.close(closed)
        if not open_links:
            self._loop.stop()

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.add_callback_threadsafe(work)
