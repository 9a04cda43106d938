"""Echo: the raw limit. Two processes, one broker, no HTTP and no database.

`python -m bench.echo serve URL` sends every message back; `python -m bench.echo call URL SECONDS` keeps
some in flight and prints what it saw, from the first echo on, as one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import pika
from pika.channel import Channel

from bench.wrk import CONNECTIONS

QUEUE = "bench.echo"
BODY = b'{"name": "Lamp", "price": 19.90, "quantity": 7}'


def serve(url: str) -> None:
    """Send back what comes, until SIGTERM."""

    def set_up(channel: Channel) -> None:
        channel.queue_declare(QUEUE, durable=True, callback=lambda _frame: consume(channel))

    def consume(channel: Channel) -> None:
        channel.basic_consume(QUEUE, echo, auto_ack=True)

    def echo(channel: Channel, _method: Any, properties: pika.BasicProperties, body: bytes) -> None:
        channel.basic_publish("", properties.reply_to, body)

    _connection(url, set_up).ioloop.start()


class Caller:
    """Keeps as many messages in flight as the other contenders have requests."""

    def __init__(self, url: str, seconds: float) -> None:
        self._seconds = seconds
        self._connection = _connection(url, self._set_up)
        self._echoes = 0
        self._started_at = self._cpu_before = 0.0

    def run(self) -> dict[str, float]:
        """Call for the given time; what was seen."""
        self._connection.ioloop.start()
        return {
            "messages": self._echoes,
            "seconds": time.monotonic() - self._started_at,
            "cpu_seconds": time.process_time() - self._cpu_before,
        }

    def _set_up(self, channel: Channel) -> None:
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_declare("", exclusive=True, callback=lambda frame: self._begin(channel, frame.method.queue))

    def _begin(self, channel: Channel, replies: str) -> None:
        properties = pika.BasicProperties(reply_to=replies)

        def call() -> None:
            channel.basic_publish("", QUEUE, BODY, properties)

        channel.basic_consume(replies, lambda *_: self._echoed(call), auto_ack=True)
        for _ in range(CONNECTIONS):
            call()

    def _echoed(self, call: Callable[[], None]) -> None:
        if not self._echoes:
            self._started_at, self._cpu_before = time.monotonic(), time.process_time()
            self._connection.ioloop.call_later(self._seconds, self._connection.ioloop.stop)
        self._echoes += 1
        call()


def _connection(url: str, set_up: Callable[[Channel], None]) -> pika.SelectConnection:
    def opened(connection: pika.SelectConnection) -> None:
        connection.channel(on_open_callback=set_up)

    def lost(connection: pika.SelectConnection, _reason: BaseException) -> None:
        connection.ioloop.stop()

    return pika.SelectConnection(pika.URLParameters(url), opened, lost, lost)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(Caller(sys.argv[2], float(sys.argv[3])).run()))
