"""The transport for the embedded broker: one thread that delivers, acknowledges and sleeps until it is woken."""

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import Empty
from typing import Any

import structlog

from bus.messaging.memory.broker import broker_of
from bus.messaging.message import Delivery, Message, arrived
from bus.messaging.topology import EVENTS_EXCHANGE, Queue
from bus.messaging.transport import PublishOutcome, QueueCounts, QueueView, TransportFailure, TransportOptions

log = structlog.get_logger("bus.embedded")


class Embedded:
    """The transport for `memory://NAME`; see `bus.messaging.transport.Transport`.

    All transports of a process with the same URL share one broker. It is never disconnected or blocked.
    """

    dropped_replies = 0
    is_embedded = True

    def __init__(self, url: str, name: str) -> None:
        self._broker = broker_of(url)
        self._name = name
        self._options = TransportOptions()
        self.failure: TransportFailure | None = None
        self._thread = threading.Thread(target=self._run, name=f"{name}-embedded", daemon=True)
        self._finished: deque[Sequence[Delivery]] = deque()
        self._stopped = self._closed = False
        self._on_stopped: Callable[[], None] = lambda: None
        self._publishing = self._broker.connect()
        self.reply_address: str | None = None

    def describe(self) -> str:
        return "the embedded broker in this process"

    def open(self, options: TransportOptions) -> None:
        self._options = options
        channel = self._publishing.default_channel
        for queue in options.declares:
            self._broker.declare(queue)
            channel.queue_declare(queue.name)
        if options.on_reply is not None:
            self.reply_address = channel.queue_declare().queue
        self._thread.start()

    def wait_until_ready(self, seconds: float) -> bool:  # noqa: ARG002  # ready as soon as opened
        return self._thread.is_alive()

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None] | None = None) -> None:
        with self._broker.lock:
            outcome = self._route(message) if message.exchange else self._put(message, message.queue)
        if on_outcome is not None:
            on_outcome(outcome)
        elif outcome is PublishOutcome.UNROUTABLE:
            self.dropped_replies += 1

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._finished.append(deliveries)
        self._broker.wake()

    def stop_consuming(self, on_stopped: Callable[[], None] = lambda: None) -> None:
        self._on_stopped = on_stopped
        self._stopped = True
        self._broker.wake()

    def view(self, seconds: float) -> Sequence[QueueView]:  # noqa: ARG002  # nothing to wait for
        return ()

    def count_consumers(self, queue: str, on_count: Callable[[int], None]) -> None:
        """It cannot lose a consumer."""
        on_count(int(queue in self._broker.queues))

    def reconnect_consumer(self, reason: str) -> None:
        """Nothing to do: there is no connection that could fail."""

    def close(self, seconds: float) -> None:
        self._closed = True
        self._broker.wake()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self.reply_address:
            with self._broker.lock:
                self._broker.queues.pop(self.reply_address, None)
        for queue in self._options.declares:
            if queue.kind == "watch":
                self._broker.forget(queue)

    def _route(self, message: Message) -> PublishOutcome:
        if message.exchange == EVENTS_EXCHANGE:
            outcomes = {self._put(message, queue) for queue in self._broker.listeners_to(message.queue)}
            return PublishOutcome.FULL if PublishOutcome.FULL in outcomes else PublishOutcome.CONFIRMED
        if message.exchange in self._broker.delays:
            self._broker.delay(message)
            return PublishOutcome.CONFIRMED
        return self._put(message, message.queue)

    def _publish_due(self) -> None:
        for message in self._broker.due():
            with self._broker.lock:
                self._put(message, message.queue)

    def _put(self, message: Message, queue: str) -> PublishOutcome:
        channel, broker = self._publishing.default_channel, self._broker
        if (messages := broker.queues.get(queue)) is None:
            return PublishOutcome.UNROUTABLE
        declared = broker.declared.get(queue)
        if declared is not None and declared.bound and messages.qsize() >= declared.bound:
            if declared.kind != "watch":
                return PublishOutcome.FULL
            with suppress(Empty):  # a watcher misses its oldest event; its consumer may have been faster
                messages.get_nowait()
        properties = {name: getattr(message, name) for name in _PROPERTIES}
        payload = channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=dict(message.headers),
            properties=properties,
        )
        channel.basic_publish(payload, exchange="", routing_key=queue)
        return PublishOutcome.CONFIRMED

    def _run(self) -> None:
        try:
            self._deliver()
        except BaseException as error:
            # A bug in this package or in kombu. The process must end: it would look alive and do nothing.
            log.exception("broker_thread_failed")
            self.failure = TransportFailure(f"The embedded broker's thread failed because of a bug: {error!r}")

    def _deliver(self) -> None:
        """The thread that owns the consuming channels: deliver, acknowledge, sleep until woken."""
        with self._broker.connect() as connection:
            channels = [self._consume(connection, queue, place) for place, queue in enumerate(self._options.consumes)]
            if self.reply_address:
                self._consume_replies(connection, self.reply_address)
            stopped = False
            while not self._closed:
                seen = self._broker.wakings
                if self._broker.delayed:
                    self._publish_due()
                while self._finished:
                    for delivery in self._finished.popleft():
                        channels[delivery.session].basic_ack(delivery.tag)
                if self._stopped and not stopped:
                    stopped = True
                    for channel in channels:
                        channel.basic_cancel("consumer")
                    self._on_stopped()
                try:
                    connection.drain_events(timeout=0)
                except (Empty, TimeoutError):
                    self._broker.sleep(seen)

    def _consume(self, connection: Any, queue: Queue, session: int) -> Any:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=self._options.prefetch_of(queue))
        on_delivery, body_bytes = self._options.on_delivery, self._options.body_bytes

        def deliver(incoming: Any) -> None:
            if on_delivery is not None:
                message = _message(queue.name, incoming, body_bytes)
                on_delivery(arrived(message, tag=incoming.delivery_tag, session=session, deaths=0))

        channel.basic_consume(queue.name, no_ack=False, callback=deliver, consumer_tag="consumer")
        return channel

    def _consume_replies(self, connection: Any, queue: str) -> None:
        on_reply = self._options.on_reply

        def deliver(incoming: Any) -> None:
            if on_reply is not None:
                on_reply(_message(queue, incoming))

        connection.channel().basic_consume(queue, no_ack=True, callback=deliver, consumer_tag="replies")


def queue_counts(url: str, queues: Iterable[str]) -> dict[str, QueueCounts]:
    """The counts of those of these queues that the embedded broker has. It cannot lose a consumer, and counts none."""
    found = {name: broker_of(url).queues.get(name) for name in queues}
    return {name: QueueCounts(queue.qsize(), 1) for name, queue in found.items() if queue is not None}


_PROPERTIES = ("type", "message_id", "correlation_id", "reply_to", "expiration_ms", "timestamp", "persistent")


def _message(queue: str, incoming: Any, body_bytes: int = sys.maxsize) -> Message:
    properties = {name: incoming.properties[name] for name in _PROPERTIES}
    return Message(
        queue=queue,
        body=incoming.body[:body_bytes],
        content_type=incoming.content_type,
        content_encoding=incoming.content_encoding,
        headers=incoming.headers,
        **properties,
    )
