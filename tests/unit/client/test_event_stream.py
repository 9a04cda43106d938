"""The event stream, on the embedded broker."""

import threading

import pytest
from structlog.testing import capture_logs

from bus.client.event_stream import event_stream
from bus.messaging import connect
from bus.messaging.connect import connected
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all
from bus.messaging.topology import EVENTS_EXCHANGE
from bus.messaging.transport import PublishOutcome, TransportFailure

WAIT_SECONDS = 30.0


def test_a_stream_shows_the_events_of_its_pattern_until_it_is_stopped(memory_url: str) -> None:
    stopping = threading.Event()
    events = [Message(queue=name, body=b"{}", exchange=EVENTS_EXCHANGE) for name in ("shop.sold", "shop.moved")]
    with event_stream(memory_url, "shop.sold") as stream, connected(memory_url, "shop") as transport:
        assert publish_all(transport, events, WAIT_SECONDS) == [PublishOutcome.CONFIRMED] * 2
        publish_all(transport, events[:1], WAIT_SECONDS)
        shown = []
        for _, received_at in stream.events(stopping.is_set):
            shown.append(received_at)
            if len(shown) == 2:
                stopping.set()
    assert shown == sorted(shown)
    assert stream.broker == "the embedded broker in this process"


def test_a_stream_without_a_broker_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_SECONDS", 0.1)
    opened = event_stream("amqp://127.0.0.1:1/", "#")
    with (
        capture_logs(),
        pytest.raises(TransportFailure, match=r"^RabbitMQ at 127\.0\.0\.1:1 cannot be reached: Connection refused\.$"),
        opened,
    ):
        pass
