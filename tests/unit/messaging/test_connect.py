"""Connecting: the URL chooses the transport, and a block has one that is ready and closed afterwards."""

from typing import Any

import pytest

from bus.messaging import connect
from bus.messaging.connect import BrokerUnreachable, connected, transport_for
from bus.messaging.memory import Embedded
from bus.messaging.rabbitmq import RabbitMQ
from bus.messaging.topology import stream_queue
from bus.messaging.transport import TransportOptions, is_connected


@pytest.mark.parametrize(
    ("url", "kind"),
    [("amqp://127.0.0.1:1/", RabbitMQ), ("amqps://127.0.0.1:1/", RabbitMQ), ("memory://test", Embedded)],
)
def test_the_scheme_chooses_the_transport(url: str, kind: type[Any]) -> None:
    assert isinstance(transport_for(url, "test"), kind)


def test_an_unknown_scheme_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no transport for redis://: use amqp://, amqps:// or memory://"):
        transport_for("redis://127.0.0.1/", "test")


def test_a_transport_is_ready_in_the_block_and_closed_after_it(memory_url: str) -> None:
    with connected(memory_url, "test", TransportOptions(declares=[stream_queue("#")])) as transport:
        assert is_connected(transport)
    assert not is_connected(transport)


def test_a_transport_is_closed_after_an_error_in_the_block(memory_url: str) -> None:
    with pytest.raises(KeyError), connected(memory_url, "test") as transport:
        raise KeyError
    assert not is_connected(transport)


def test_a_broker_that_cannot_be_reached_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_SECONDS", 0.1)
    opened = connected("amqp://guest:guest@127.0.0.1:1/", "test")
    with pytest.raises(BrokerUnreachable, match=r"^RabbitMQ at 127\.0\.0\.1:1 cannot be reached\.$"), opened:
        pass
