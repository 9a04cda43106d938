"""Bulk: creates published straight to the queue, and how fast one worker process carries them out.

They are published one by one, some of them twice or such that they are refused, or as batches. The queue is filled
while no worker runs, so that filling it takes no time from the worker. Each command has an id, for exactly one effect,
and asks for a reply.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

import pika
from pika.adapters.blocking_connection import BlockingChannel

from bench.contender import START_SECONDS, python
from bench.cpu import cpu_seconds
from bench.errand import QUIET
from bench.figures import Bulk
from bench.names import IN_BATCHES, ONE_BY_ONE, REFUSED, REPEATED
from bench.servers import Servers
from bus.testing.servers.processes import Process
from bus.testing.waiting import wait_until

# The first creates are left out: the worker has just started.
CREATES, WARM_UP = 20_000, 2_000
DRAIN_SECONDS = 120.0
LOOK_SECONDS = 0.02
# The last of so many commands is the odd one. A duplicate is of the first among earlier ones: some batches before.
ODD_ONE_IN, EARLIER = 100, 999


@dataclass(frozen=True)
class Load:
    """Commands for this queue, with so many creates in each."""

    name: str
    queue: str = "catalog.create_product"
    size: int = 1

    def number_of(self, place: int) -> int:
        """The number of the command in this place; that of an earlier one, if this is its duplicate."""
        return place - EARLIER if self.name == REPEATED and _is_odd(place) and place >= EARLIER else place

    def body(self, number: int) -> bytes:
        """That of the command with this number."""
        lamp: dict[str, object] = {"name": f"Lamp {number}", "price": 19.9, "quantity": 7}
        if self.name == REFUSED and _is_odd(number):
            lamp["sku"] = "S-1"  # the first of them has it
        return json.dumps(lamp if self.size == 1 else {"operations": [{"create": lamp}] * self.size}).encode()


LOADS = (Load(ONE_BY_ONE), Load(REPEATED), Load(REFUSED), Load(IN_BATCHES, "catalog.change_products", 500))


def bulk(servers: Servers, folder: Path, load: Load, round_number: int) -> Bulk:
    """Measure once, with a virtual host and a database of its own."""
    url = servers.broker.fresh_vhost()
    environment = {"BUS_URL": url, "CATALOG_DATABASE_URL": servers.database.fresh_database(), **QUIET}
    folder.mkdir()
    python("bulk-migrate", folder, environment, "bus.cli", "migrate", "catalog").finish(START_SECONDS)
    worker = python("bulk-worker", folder, environment, "bus.cli", "worker", "catalog")
    with _channel(url) as channel:
        _declare_queues(worker, url, load)
        replies = _fill(channel, load)
        worker.start()
        try:
            return _measured(channel, replies, load, worker, servers, round_number)
        finally:
            worker.stop(SIGTERM)


def _declare_queues(worker: Process, url: str, load: Load) -> None:
    """Let a worker run until it has declared its queues."""
    worker.start()
    try:
        wait_until(lambda: _exists(url, load.queue), START_SECONDS, "the worker has declared its queues")
    finally:
        worker.stop(SIGTERM)


def _exists(url: str, queue: str) -> bool:
    try:
        with _channel(url) as channel:
            return _count(channel, queue) == 0
    except pika.exceptions.ChannelClosedByBroker:
        return False


def _fill(channel: BlockingChannel, load: Load) -> str:
    """Publish the commands; returns the queue of their replies."""
    replies = str(channel.queue_declare("", exclusive=True).method.queue)
    messages = CREATES // load.size
    for number in map(load.number_of, range(messages)):
        identity = {"message_id": f"bulk-{number}", "correlation_id": str(number), "reply_to": replies}
        properties = pika.BasicProperties(content_type="application/json", delivery_mode=2, **identity)
        channel.basic_publish("", load.queue, load.body(number), properties)
    wait_until(lambda: _count(channel, load.queue) == messages, DRAIN_SECONDS, "the queue has all commands")
    return replies


def _measured(
    channel: BlockingChannel, replies: str, load: Load, worker: Process, servers: Servers, number: int
) -> Bulk:
    parts = (worker, servers.broker, servers.database)
    _wait_for(channel, replies, WARM_UP // load.size, worker)
    before, at_first, started = [cpu_seconds(part.pids()) for part in parts], _count(channel, replies), time.monotonic()
    _wait_for(channel, replies, CREATES // load.size, worker)
    seconds, done = time.monotonic() - started, CREATES - at_first * load.size
    used = [cpu_seconds(part.pids()) - early for part, early in zip(parts, before, strict=True)]
    return Bulk(number, load.name, done / seconds, *(1000 * each / done for each in used))


def _is_odd(place: int) -> bool:
    return place % ODD_ONE_IN == ODD_ONE_IN - 1


def _wait_for(channel: BlockingChannel, replies: str, count: int, worker: Process) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    while _count(channel, replies) < count:
        worker.check()
        if time.monotonic() > deadline:
            raise TimeoutError(f"Fewer than {count} replies came within {DRAIN_SECONDS:g} s.")
        time.sleep(LOOK_SECONDS)


def _count(channel: BlockingChannel, queue: str) -> int:
    return int(channel.queue_declare(queue, passive=True).method.message_count)


@contextmanager
def _channel(url: str) -> Iterator[BlockingChannel]:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        yield connection.channel()
    finally:
        connection.close()
