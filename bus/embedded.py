"""The embedded broker, on kombu's memory transport. The only file that knows kombu.

The whole system in one process, for a first look and for tests. Queued messages end with the
process. kombu polls its queues; here a publisher wakes the consumers instead.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from queue import Empty
from queue import Queue as Buffer
from typing import Any

from kombu import Connection
from kombu.transport import memory

from bus.message import Delivery, Message
from bus.transport import Outcome, TransportFailure, Wiring

# How long a consumer sleeps at most when nothing wakes it; it is woken by every publish.
IDLE_SECONDS = 1.0


class Embedded:
    """The transport for `memory://NAME`; see `bus.transport.Transport`.

    All transports of one process with the same name share one broker. Nothing is ever away, blocked
    or unknown here.
    """

    failure: TransportFailure | None = None

    def __init__(self, url: str, name: str) -> None:
        self._broker = _broker(url)
        self._name = name
        self._wiring = Wiring()
        self._thread = threading.Thread(target=self._run, name=f"{name}-embedded", daemon=True)
        self._finished: deque[Sequence[Delivery]] = deque()
        self._stopped = self._closed = False
        self._publishing = self._broker.connect()
        self._lock = threading.Lock()
        self.reply_address: str | None = None

    def describe(self) -> str:
        return "the embedded broker in this process"

    def open(self, wiring: Wiring) -> None:
        self._wiring = wiring
        channel = self._publishing.default_channel
        for queue in wiring.declares:
            self._broker.bounds[queue.name] = queue.bound
            channel.queue_declare(queue.name)
        if wiring.on_reply is not None:
            self.reply_address = channel.queue_declare().queue
        self._thread.start()

    def wait_until_ready(self, seconds: float) -> bool:  # noqa: ARG002  # ready as soon as opened
        return self._thread.is_alive()

    def publish(self, message: Message, on_outcome: Callable[[Outcome], None] | None = None) -> None:
        with self._lock:
            outcome = self._put(message)
        if on_outcome is not None:
            on_outcome(outcome)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self._finished.append(deliveries)
        self._broker.wake()

    def stop_consuming(self) -> None:
        self._stopped = True
        self._broker.wake()

    def close(self, seconds: float) -> None:
        self._closed = True
        self._broker.wake()
        if self._thread.is_alive():
            self._thread.join(seconds)
        if self.reply_address:
            self._broker.queues.pop(self.reply_address, None)

    def _put(self, message: Message) -> Outcome:
        channel, broker = self._publishing.default_channel, self._broker
        if message.queue not in broker.queues:
            return Outcome.UNROUTABLE
        bound = broker.bounds.get(message.queue, 0)
        if bound and broker.queues[message.queue].qsize() >= bound:
            return Outcome.FULL
        properties = {name: getattr(message, name) for name in _PROPERTIES}
        payload = channel.prepare_message(
            message.body,
            content_type=message.content_type,
            content_encoding=message.content_encoding,
            headers=dict(message.headers),
            properties=properties,
        )
        channel.basic_publish(payload, exchange="", routing_key=message.queue)
        return Outcome.CONFIRMED

    def _run(self) -> None:
        """The thread that owns the consuming channels: deliver, acknowledge, sleep until woken."""
        with self._broker.connect() as connection:
            channels = [self._consume(connection, queue.name) for queue in self._wiring.consumes]
            if self.reply_address:
                self._consume_replies(connection, self.reply_address)
            stopped = False
            while not self._closed:
                seen = self._broker.wakings
                self._acknowledge_finished(channels)
                if self._stopped and not stopped:
                    stopped = True
                    for channel in channels:
                        channel.basic_cancel("consumer")
                try:
                    connection.drain_events(timeout=0)
                except (Empty, TimeoutError):
                    self._broker.sleep(seen)

    def _acknowledge_finished(self, channels: list[Any]) -> None:
        while self._finished:
            for delivery in self._finished.popleft():
                channels[delivery.session].basic_ack(delivery.tag)

    def _consume(self, connection: Connection, queue: str) -> Any:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=self._wiring.prefetch)
        session = [each.name for each in self._wiring.consumes].index(queue)
        on_delivery = self._wiring.on_delivery

        def deliver(incoming: Any) -> None:
            if on_delivery is not None:
                on_delivery(
                    Delivery(
                        message=_message(queue, incoming),
                        tag=incoming.delivery_tag,
                        session=session,
                        redelivered=False,
                        received_at=time.monotonic(),
                    )
                )

        channel.basic_consume(queue, no_ack=False, callback=deliver, consumer_tag="consumer")
        return channel

    def _consume_replies(self, connection: Connection, queue: str) -> None:
        on_reply = self._wiring.on_reply

        def deliver(incoming: Any) -> None:
            if on_reply is not None:
                on_reply(_message(queue, incoming))

        connection.channel().basic_consume(queue, no_ack=True, callback=deliver, consumer_tag="replies")


class _Broker:
    """The queues of one name, and the bell that a publisher rings."""

    def __init__(self) -> None:
        self.queues: dict[str, Buffer[Any]] = {}
        self.bounds: dict[str, int] = {}
        self.wakings = 0
        self._bell = threading.Condition()
        broker = self

        class Channel(memory.Channel):
            queues = broker.queues
            body_encoding = None  # nothing leaves the process, so bodies stay bytes

            def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
                super()._put(queue, message, **kwargs)
                broker.wake()

        class Transport(memory.Transport):
            polling_interval = None

        Transport.Channel = Channel
        self._transport = Transport

    def connect(self) -> Connection:
        return Connection(transport=self._transport)

    def wake(self) -> None:
        with self._bell:
            self.wakings += 1
            self._bell.notify_all()

    def sleep(self, seen: int) -> None:
        """Until somebody wakes us; not at all when somebody did since `seen`."""
        with self._bell:
            self._bell.wait_for(lambda: self.wakings != seen, IDLE_SECONDS)


_PROPERTIES = ("message_id", "correlation_id", "reply_to", "expiration_ms", "persistent")


@cache
def _broker(url: str) -> _Broker:  # noqa: ARG001  # the cache tells brokers apart by it
    return _Broker()


def _message(queue: str, incoming: Any) -> Message:
    properties = {name: incoming.properties[name] for name in _PROPERTIES}
    return Message(
        queue=queue,
        body=incoming.body,
        content_type=incoming.content_type,
        content_encoding=incoming.content_encoding,
        headers=incoming.headers,
        **properties,
    )
