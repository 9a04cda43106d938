"""RabbitMQ, on pika's asynchronous connection. The only file that knows pika.

One thread owns both connections of a process, one to publish and one to consume: a broker that
blocks publishers still takes acknowledgements. Other threads hand it work through a queue.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import pika
import structlog
from pika.adapters.select_connection import IOLoop, SelectConnection
from pika.channel import Channel
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from bus.acknowledgements import Unacknowledged
from bus.confirms import Confirms
from bus.message import Delivery, Message
from bus.topology import REQUESTS_EXCHANGE, Queue
from bus.transport import Outcome, TransportFailure, Wiring

# Two missed heartbeats end a connection, so a silent network is noticed within twice this.
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 5
# Between two tries to connect, each with jitter so that many clients do not come back as one.
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
# While closing: how often to look whether all confirms have come; they take a few milliseconds.
CLOSE_POLL_SECONDS = 0.01

log = structlog.get_logger("bus.rabbitmq")

OnOutcome = Callable[[Outcome], None]


class RabbitMQ:
    """The transport for `amqp://` and `amqps://` URLs; see `bus.transport.Transport`."""

    def __init__(self, url: str, name: str) -> None:
        pika.spec.props[pika.BasicProperties.INDEX] = _Properties  # pika has no other place to say it
        self._parameters = _parameters(url, name)
        self._name = name
        self._loop = IOLoop()
        self._thread = threading.Thread(target=self._loop.start, name=f"{name}-rabbitmq", daemon=True)
        self._publisher = _Publisher(self._loop, self._parameters)
        self._consumer: _Consumer | None = None

    @property
    def failure(self) -> TransportFailure | None:
        return self._publisher.link.failure or (self._consumer.link.failure if self._consumer else None)

    @property
    def reply_address(self) -> str | None:
        return self._consumer.reply_address if self._consumer else None

    def describe(self) -> str:
        return f"RabbitMQ at {self._parameters.host}:{self._parameters.port}"

    def open(self, wiring: Wiring) -> None:
        self._consumer = _Consumer(self._loop, self._parameters, wiring)
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
        self._publisher.publish(message, on_outcome)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if consumer := self._consumer:
            self._soon(lambda: consumer.acknowledge(deliveries))

    def stop_consuming(self) -> None:
        if consumer := self._consumer:
            self._soon(consumer.stop)

    def close(self, seconds: float) -> None:
        if not self._thread.is_alive():
            return
        patience = time.monotonic() + seconds / 2
        self._soon(lambda: self._close_when_answered(patience))
        self._thread.join(seconds)

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

        for link in links:
            link.close(closed)
        if not open_links:
            self._loop.stop()

    def _soon(self, work: Callable[[], None]) -> None:
        self._loop.add_callback_threadsafe(work)


class _Link:
    """One connection with one channel, opened again whenever it is lost. Lives on the I/O thread."""

    def __init__(
        self,
        loop: IOLoop,
        parameters: pika.ConnectionParameters,
        set_up: Callable[[Channel], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop, self._parameters = loop, parameters
        self._set_up, self._on_lost = set_up, on_lost
        self._connection: SelectConnection | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._on_closed: Callable[[], None] | None = None
        self.channel: Channel | None = None
        self.failure: TransportFailure | None = None
        self.settled = threading.Event()  # set when ready, or failed for good
        self.blocked = False

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    def connect(self) -> None:
        if self._on_closed is None and self.failure is None:
            self._connection = SelectConnection(
                self._parameters, self._opened, self._not_opened, self._closed, custom_ioloop=self._loop
            )

    def ready(self) -> None:
        """Everything set up: from here on the channel is used."""
        self._retry_seconds = FIRST_RETRY_SECONDS
        self.settled.set()

    def restart(self, reason: str) -> None:
        """Give up this connection and open a new one."""
        if self._connection is not None and self._connection.is_open:
            log.warning("connection_restarted", reason=reason)
            self._connection.close(200, reason[:100])

    def close(self, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _opened(self, connection: SelectConnection) -> None:
        self.blocked = False
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        self.channel = channel
        channel.add_on_close_callback(self._channel_closed)
        self._set_up(channel)

    def _set_blocked(self, blocked: bool) -> None:
        self.blocked = blocked
        log.warning("broker_blocked" if blocked else "broker_unblocked")

    def _channel_closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self._fail_if_hopeless(reason)
            self.restart(str(reason))

    def _not_opened(self, _connection: SelectConnection, reason: BaseException) -> None:
        self._fail_if_hopeless(reason)
        self._lost(reason)

    def _closed(self, _connection: SelectConnection, reason: BaseException) -> None:
        self._fail_if_hopeless(reason)
        self._lost(reason)

    def _lost(self, reason: BaseException) -> None:
        self.channel = None
        self._connection = None
        if self.failure is None:
            self.settled.clear()
        self._on_lost()
        if self._on_closed:
            self._on_closed()
            return
        log.warning("broker_away", reason=_in_short(reason), retry_seconds=round(self._retry_seconds, 1))
        self._loop.call_later(self._retry_seconds * random.uniform(0.5, 1.0), self.connect)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _fail_if_hopeless(self, reason: BaseException) -> None:
        if sentence := _hopeless(reason):
            self.failure = self.failure or TransportFailure(sentence)
            self.settled.set()


class _Publisher:
    """The publishing connection: requests with confirms, replies on a second channel without."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters) -> None:
        self.link = _Link(loop, parameters, self._set_up, self._lost)
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
        while self._waiting:
            message, on_outcome = self._waiting.popleft()
            if on_outcome is None:
                self._send_unconfirmed(message)
            else:
                self._send_confirmed(message, on_outcome)

    def _send_unconfirmed(self, message: Message) -> None:
        if self._reply_channel is not None and self._reply_channel.is_open:
            self._reply_channel.basic_publish("", message.queue, message.body, _properties(message))

    def _send_confirmed(self, message: Message, on_outcome: OnOutcome) -> None:
        channel = self.link.channel
        if channel is None or self._reply_channel is None or not channel.is_open:
            on_outcome(Outcome.AWAY)
        elif self.link.blocked:
            on_outcome(Outcome.BLOCKED)
        else:
            self._confirms.sent(message.message_id or "", message.queue, on_outcome)
            channel.basic_publish("", message.queue, message.body, _properties(message), mandatory=True)

    def _returned(self, _channel: Channel, method: Any, properties: pika.BasicProperties, _body: bytes) -> None:
        self._confirms.returned(properties.message_id or "", method.routing_key)

    def _answered(self, frame: Any) -> None:
        accepted = isinstance(frame.method, pika.spec.Basic.Ack)
        self._confirms.answered(frame.method.delivery_tag, frame.method.multiple, accepted)


class _Consumer:
    """The consuming connection: declares, consumes, acknowledges, and owns the reply queue."""

    def __init__(self, loop: IOLoop, parameters: pika.ConnectionParameters, wiring: Wiring) -> None:
        self.link = _Link(loop, parameters, self._set_up, self._lost)
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
                        message=_message(queue.name, properties, body),
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
            on_reply(_message(name, properties, body))

        def consuming(_frame: Any) -> None:
            self.reply_address = name
            self.link.ready()

        channel.basic_consume(name, deliver, auto_ack=True, exclusive=True, callback=consuming)

    def _lost(self) -> None:
        self.reply_address = None
        self._wiring.on_replies_lost()


class _Properties(pika.BasicProperties):  # type: ignore[misc]  # pika is half typed
    """Properties as they come, without a header table that Python cannot hold.

    A time beyond the calendar or tables a thousand deep are legal AMQP. pika gives up the connection
    over them, the broker delivers the message again, and so one message would stop a service for good.
    """

    def decode(self, encoded: bytes, offset: int = 0) -> pika.BasicProperties:
        try:
            return super().decode(encoded, offset)
        except (ArithmeticError, OSError, RecursionError, ValueError):
            return super().decode(_without_headers(encoded, offset))


def _without_headers(encoded: bytes, offset: int) -> bytes:
    """The same properties with an empty header table (AMQP 0-9-1, section 4.2.6.1)."""
    place = offset + 2
    flags = int.from_bytes(encoded[offset:place], "big")
    for flag in (pika.BasicProperties.FLAG_CONTENT_TYPE, pika.BasicProperties.FLAG_CONTENT_ENCODING):
        if flags & flag:
            place += 1 + encoded[place]
    length = int.from_bytes(encoded[place : place + 4], "big")
    return encoded[offset:place] + bytes(4) + encoded[place + 4 + length :]


def _parameters(url: str, name: str) -> pika.URLParameters:
    """Raises ValueError for a URL that is none (RabbitMQ URI specification)."""
    parameters = pika.URLParameters(url)
    parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS
    parameters.connection_attempts = 1
    parameters.client_properties = {"connection_name": name}
    return parameters


def _properties(message: Message) -> pika.BasicProperties:
    return pika.BasicProperties(
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        headers=dict(message.headers) or None,
        delivery_mode=2 if message.persistent else 1,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        expiration=None if message.expiration_ms is None else str(message.expiration_ms),
        message_id=message.message_id,
    )


def _message(queue: str, properties: pika.BasicProperties, body: bytes) -> Message:
    expiration = properties.expiration
    return Message(
        queue=queue,
        body=body,
        message_id=_text(properties.message_id),
        correlation_id=properties.correlation_id,
        reply_to=_text(properties.reply_to),
        content_type=_text(properties.content_type),
        content_encoding=_text(properties.content_encoding),
        expiration_ms=int(expiration) if expiration else None,
        persistent=properties.delivery_mode == 2,
        headers=properties.headers or {},
    )


def _text(value: str | bytes | None) -> str | None:
    """A property that pika could not read as text, as one that no rule accepts and that is no longer than it was."""
    return value.decode("ascii", "replace").replace("\ufffd", "\x7f") if isinstance(value, bytes) else value


def _hopeless(reason: BaseException) -> str:
    """A sentence for what another try will not mend; empty for what it may."""
    if isinstance(reason, (ProbableAuthenticationError, ProbableAccessDeniedError)):
        return "RabbitMQ refuses this user name, password or virtual host."
    code = getattr(reason, "reply_code", 0)
    if isinstance(reason, ChannelClosedByBroker) and code in (403, 406):
        return f"RabbitMQ refuses our topology: {reason.reply_text}"
    if isinstance(reason, ConnectionClosedByBroker) and code in (403, 530):
        return f"RabbitMQ refuses the connection: {reason.reply_text}"
    return ""


def _in_short(reason: BaseException) -> str:
    text = str(reason) or repr(reason)
    return text if len(text) < 200 else f"{text[:200]}…"


def differences(url: str, queues: Sequence[Queue]) -> list[str]:
    """What the broker has otherwise than declared, one sentence each; creates nothing.

    Raises TransportFailure when the broker cannot be reached.
    """
    try:
        connection = pika.BlockingConnection(_parameters(url, "bus-topology"))
    except AMQPConnectionError as error:
        raise TransportFailure(_hopeless(error) or "RabbitMQ cannot be reached.") from None
    with connection:
        found = (_difference(connection, queue) for queue in queues)
        return [sentence for sentence in found if sentence]


def _difference(connection: Any, queue: Queue) -> str:
    channel = connection.channel()
    try:
        channel.queue_declare(queue.name, passive=True)
        channel.queue_declare(queue.name, durable=True, arguments=queue.arguments())
        channel.close()
    except ChannelClosedByBroker as error:
        return f"{queue.name} is missing." if error.reply_code == 404 else f"{queue.name}: {error.reply_text}"
    return ""
