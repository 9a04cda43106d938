"""The embedded broker: the queues of one URL, on kombu's memory transport.

kombu polls its queues; here each publish wakes the consumers instead.
"""

import heapq
import itertools
import threading
import time
from collections import defaultdict
from functools import cache
from queue import Queue as Buffer
from typing import Any

from kombu import Connection
from kombu.transport import memory

from bus.messaging.message import Message
from bus.messaging.topology import Queue, matches_topic

# The longest sleep of a consumer that nothing wakes; every publish wakes it.
IDLE_SECONDS = 1.0


class Broker:
    """The queues of one URL, the delayed messages of its retry queues, and the condition that wakes its consumers.

    `lock` is held while a message is put into a queue: kombu makes a queue again that is deleted meanwhile.
    """

    def __init__(self) -> None:
        self.queues: dict[str, Buffer[Any]] = {}
        self.declared: dict[str, Queue] = {}
        self.lock = threading.Lock()
        self.delays: dict[str, int] = {}
        self.listeners: dict[str, set[str]] = defaultdict(set)
        self.delayed: list[tuple[float, int, Message]] = []
        self._numbers = itertools.count()
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

    def declare(self, queue: Queue) -> None:
        self.declared[queue.name] = queue
        if queue.kind == "retry":
            self.delays[queue.name] = queue.delay_seconds
        for topic in queue.topics:
            self.listeners[topic].add(queue.name)

    def forget(self, queue: Queue) -> None:
        """Delete a queue that belonged to one connection."""
        with self.lock:
            self.queues.pop(queue.name, None)
            self.declared.pop(queue.name, None)
            for topic in queue.topics:
                self.listeners[topic].discard(queue.name)

    def listeners_to(self, name: str) -> set[str]:
        """The queues that receive the events of this name."""
        listeners = list(self.listeners.items())
        return {queue for topic, queues in listeners if matches_topic(name, topic) for queue in list(queues)}

    def delay(self, message: Message) -> None:
        due_at = time.monotonic() + self.delays[message.exchange]
        with self._bell:
            heapq.heappush(self.delayed, (due_at, next(self._numbers), message))

    def due(self) -> list[Message]:
        """Remove and return the delayed messages whose time has come."""
        due: list[Message] = []
        with self._bell:
            while self.delayed and self.delayed[0][0] <= time.monotonic():
                due.append(heapq.heappop(self.delayed)[2])
        return due

    def connect(self) -> Connection:
        return Connection(transport=self._transport)

    def wake(self) -> None:
        with self._bell:
            self.wakings += 1
            self._bell.notify_all()

    def sleep(self, seen: int) -> None:
        """Sleep until `wake` is called or a delayed message is due; not at all if `wakings` is not `seen` any more."""
        with self._bell:
            if self.wakings == seen:
                next_due = self.delayed[0][0] - time.monotonic() if self.delayed else IDLE_SECONDS
                self._bell.wait(min(max(0.0, next_due), IDLE_SECONDS))


@cache
def broker_of(url: str) -> Broker:  # noqa: ARG001  # it is the key of the cache
    """The broker of a URL; the same object for the same URL."""
    return Broker()
