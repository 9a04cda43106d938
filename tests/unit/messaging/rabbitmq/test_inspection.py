"""A broker that accepts connections and says nothing: pika has an error of its own for it."""

import re
import socket
from collections.abc import Iterator

import pytest

from bus.messaging.rabbitmq.inspection import Inspection
from bus.messaging.transport import TransportFailure
from bus.testing.servers import rabbitmq
from bus.testing.servers.server import LoginFailed


@pytest.fixture
def silent_url() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}/"


def test_an_inspection_says_that_it_does_not_answer(silent_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bus.messaging.rabbitmq.reconnecting.CONNECT_SECONDS", 0.2)
    said = re.compile(r"RabbitMQ at 127\.0\.0\.1:\d+ cannot be reached: no answer within 0\.2 s\.")
    with pytest.raises(TransportFailure, match=said):
        Inspection(silent_url)


def test_a_log_in_fails_and_may_be_tried_again(silent_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rabbitmq, "LOGIN_SECONDS", 0.2)
    with pytest.raises(LoginFailed):
        rabbitmq._login(silent_url)
