"""The embedded broker: what only threads of one process can do to each other."""

import threading
from typing import Any

import pytest

from bus.messaging.connect import connected
from bus.messaging.memory.broker import broker_of
from bus.messaging.message import Message
from bus.messaging.topology import EVENTS_EXCHANGE, stream_queue
from bus.messaging.transport import TransportOptions

CLOSE_SECONDS = 0.2


def test_a_queue_that_is_deleted_while_an_event_is_put_into_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, queue = broker_of("memory://deleted"), stream_queue("#")
    broker.declare(queue)
    deleting = threading.Thread(target=broker.forget, args=[queue])
    with connected("memory://deleted", "publisher", TransportOptions(declares=[queue])) as publisher:
        channel = publisher._publishing.default_channel  # type: ignore[attr-defined]
        publish = channel.basic_publish

        def late(*given: Any, **named: Any) -> None:
            deleting.start()
            deleting.join(CLOSE_SECONDS)
            publish(*given, **named)

        monkeypatch.setattr(channel, "basic_publish", late)
        publisher.publish(Message(queue="house.bell_rung", exchange=EVENTS_EXCHANGE, body=b"{}"))
        deleting.join()
        assert queue.name not in broker.queues
