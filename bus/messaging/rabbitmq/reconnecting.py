"""A connection with one channel that is opened again whenever it is lost, unless the broker refuses it for good."""

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pika
import structlog
from pika.channel import Channel
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from bus.messaging.broker_url import BrokerUrl
from bus.messaging.rabbitmq.io_loop import IOLoop
from bus.messaging.rabbitmq.pika_connection import Connection
from bus.messaging.transport import TransportFailure

# A connection ends at the first check that finds two heartbeats missed, so a silent network is noticed within three
# times this (measured: the broker needs 23 to 27 s).
HEARTBEAT_SECONDS = 10
CONNECT_SECONDS = 5


def parameters_for(broker: BrokerUrl, name: str) -> pika.ConnectionParameters:
    """How to connect to this broker. Raises BadBrokerUrl when the files of its TLS options cannot be used."""
    context = broker.tls_context()
    tls = None if context is None else pika.SSLOptions(context, broker.tls.get("server_name_indication", broker.host))
    return pika.ConnectionParameters(
        host=broker.host,
        port=broker.port,
        virtual_host=broker.vhost,
        credentials=pika.PlainCredentials(broker.user, broker.password),
        heartbeat=HEARTBEAT_SECONDS if broker.heartbeat is None else broker.heartbeat,
        ssl_options=tls,
        socket_timeout=CONNECT_SECONDS,
        stack_timeout=CONNECT_SECONDS,
        connection_attempts=1,
        client_properties={"connection_name": name},
    )


# Between two attempts to connect, with jitter, so that many clients do not reconnect at the same moment.
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 2.0
# In RabbitMQ's words for a refusal (530) that ends by itself: a limit of a virtual host or a user, or one that starts.
_FOR_NOW = ("limit", "is down")

log = structlog.get_logger("bus.rabbitmq")


class ReconnectingConnection:
    """One connection with one channel, opened again whenever it is lost. All of it runs on the I/O thread.

    `set_up` is called with each new channel, and calls `ready` when it is done; `on_lost` is called for each connection
    that is lost or was not made. `settled` is set once the connection is ready, or has failed for good (`failure`).
    """

    def __init__(
        self,
        loop: IOLoop,
        parameters: pika.ConnectionParameters,
        set_up: Callable[[Channel], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._loop, self._parameters = loop, parameters
        self._set_up, self._on_lost = set_up, on_lost
        self._connection: Connection | None = None
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._has_been_ready = False
        self._on_closed: Callable[[], None] | None = None
        self.on_blocked: Callable[[], None] = lambda: None
        self.channel: Channel | None = None
        self.failure: TransportFailure | None = None
        self.settled = threading.Event()
        self.blocked = False

    @property
    def is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    @property
    def pika_connection(self) -> Connection | None:
        """pika's connection, while it is open."""
        return self._connection if self.is_open else None

    def buffered_writes(self) -> AbstractContextManager[None]:
        """Send what is published in this block in one write at its end."""
        return nullcontext() if self._connection is None else self._connection.buffered_writes()

    def connect(self) -> None:
        if self._on_closed is None and self.failure is None:
            self._connection = Connection(
                self._parameters, self._opened, self._not_opened, self._closed, custom_ioloop=self._loop.for_pika
            )

    def ready(self) -> None:
        """The set-up is complete, and the channel can be used."""
        if self._retry_seconds > FIRST_RETRY_SECONDS:
            log.info("broker_connected")
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._has_been_ready = True
        self.settled.set()

    def restart(self, reason: str) -> None:
        """Close this connection and open a new one."""
        if self._connection is not None and self._connection.is_open:
            log.warning("connection_restarted", reason=reason)
            self._connection.close(200, reason[:100])

    def reset(self, reason: str) -> None:
        """Drop this connection without the close handshake, which may hang when it does not work; open a new one."""
        if self._connection is not None and self._connection.is_open:
            log.warning("connection_restarted", reason=reason)
            self._connection.drop()

    def close(self, on_closed: Callable[[], None]) -> None:
        self._on_closed = on_closed
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def drop(self, on_closed: Callable[[], None]) -> None:
        """Close without the close handshake, after the broker has processed everything that was sent."""
        self._on_closed = on_closed
        connection, channel = self._connection, self.channel
        if connection is None or channel is None or not channel.is_open:
            self.close(on_closed)
        else:
            # The broker answers this harmless method after it has processed everything before it.
            channel.basic_qos(callback=lambda _frame: connection.drop())

    def _opened(self, connection: Connection) -> None:
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
        if blocked:
            self.on_blocked()

    def _channel_closed(self, _channel: Channel, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self._fail_if_permanent(reason)
            self.restart(str(reason))

    def _not_opened(self, _connection: Connection, reason: BaseException) -> None:
        self._fail_if_permanent(reason)
        self._lost(reason)

    def _closed(self, _connection: Connection, reason: BaseException) -> None:
        self._fail_if_permanent(reason)
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
        if self._retry_seconds == FIRST_RETRY_SECONDS:  # once, not at every attempt
            log.warning("broker_disconnected", reason=_in_short(reason))
        self._loop.call_later(self._retry_seconds * random.uniform(0.5, 1.0), self.connect)
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)

    def _fail_if_permanent(self, reason: BaseException) -> None:
        """Give up, but only if it has never worked: a broker that is starting refuses what it will accept later."""
        sentence = "" if self._has_been_ready else why_permanent(reason)
        if sentence:
            self.failure = self.failure or TransportFailure(sentence)
            self.settled.set()


def why_permanent(reason: BaseException) -> str:
    """One sentence on why another attempt will fail too; empty if it may succeed."""
    if any(word in repr(reason) for word in _FOR_NOW):
        return ""
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
