"""Declaring queues, exchanges and bindings, and declaring again what somebody has deleted."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from bus.messaging.declarations import Declaration, Exchange, declarations
from bus.messaging.rabbitmq.io_loop import IOLoop
from bus.messaging.rabbitmq.reconnecting import ReconnectingConnection
from bus.messaging.topology import Queue

# Between two rounds in which everything is declared again. AMQP cannot list bindings, but declaring what exists changes
# nothing. A round of a service with 20 queues is about 60 methods.
KEEP_SECONDS = 3.0

log = structlog.get_logger("bus.rabbitmq")


def declare(channel: Channel, each: Declaration, on_done: Callable[[Any], None] | None) -> None:
    """Declare one queue, exchange or binding; `on_done` is called when the broker has done it.

    Without `on_done` the broker does not answer, but closes the channel if it refuses.
    """
    if isinstance(each, Exchange):
        channel.exchange_declare(each.name, each.type, durable=True, arguments=each.arguments(), callback=on_done)
    elif isinstance(each, Queue):
        own = each.kind == "watch"
        channel.queue_declare(each.name, durable=True, exclusive=own, arguments=each.arguments(), callback=on_done)
    else:
        channel.queue_bind(each.queue, each.exchange, each.key, callback=on_done)


class Upkeep:
    """Declares everything again and again, on channels of its own, so that whatever was deleted comes back.

    In a round that meets no refusal, only the last declaration is answered: sixty answers cost an idle worker more than
    all else that it does. After a refusal, which does not say whose it is, the round begins again one by one. What the
    broker refuses is skipped and logged once: another version of the service may have declared it differently.
    """

    def __init__(self, loop: IOLoop, connection: ReconnectingConnection, queues: Sequence[Queue]) -> None:
        self._loop, self._connection = loop, connection
        self._all = list(declarations(queues))
        self._left: deque[Declaration] = deque()
        self._one_by_one = False
        self._session = 0
        self._refused: set[str] = set()

    def start(self) -> None:
        """Begin with a new connection; the rounds of the one before end with it."""
        self._session += 1
        if self._all:
            self._schedule()

    def _schedule(self) -> None:
        session = self._session
        self._loop.call_later(KEEP_SECONDS, lambda: self._begin_round(session))

    def _begin_round(self, session: int) -> None:
        if session == self._session and self._connection.is_open:
            self._left, self._one_by_one = deque(self._all), False
            self._open_channel()

    def _open_channel(self) -> None:
        if (connection := self._connection.pika_connection) is not None:
            connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        while not self._one_by_one and len(self._left) > 1:
            declare(channel, self._left.popleft(), None)
        self._declare_next(channel)

    def _declare_next(self, channel: Channel) -> None:
        if self._left:
            declare(channel, self._left[0], lambda _frame: self._declared(channel))
        else:
            channel.close()
            self._schedule()

    def _declared(self, channel: Channel) -> None:
        self._left.popleft()
        self._declare_next(channel)

    def _closed(self, _channel: Channel, reason: Exception) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return
        if not self._one_by_one:
            self._left, self._one_by_one = deque(self._all), True
        else:
            if reason.reply_text not in self._refused:
                self._refused.add(reason.reply_text)
                log.warning("declaration_refused", reason=reason.reply_text)
            if self._left:
                self._left.popleft()
        self._open_channel()
