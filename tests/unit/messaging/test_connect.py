"""Connecting: the URL chooses the transport, and a block has one that is ready and closed afterwards."""

import socket
from typing import Any

import pytest

from bus.messaging import connect
from bus.messaging.connect import BrokerUnreachable, check_reachable, connected, transport_for
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
    with pytest.raises(ValueError, match=r"^The URL of the broker must begin with amqp://, amqps:// or memory://\.$"):
        transport_for("redis://127.0.0.1/", "test")


def test_a_command_learns_at_once_that_nothing_listens_or_the_host_is_unknown() -> None:
    with pytest.raises(BrokerUnreachable, match=r"^RabbitMQ at 127.0.0.1:1 cannot be reached: Connection refused.$"):
        check_reachable("amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(BrokerUnreachable, match=r"^RabbitMQ at no.such.host.invalid:5672 cannot be reached: \S.*\.$"):
        check_reachable("amqp://guest:guest@no.such.host.invalid/")
    with pytest.raises(BrokerUnreachable, match="Connection refused"), connected("amqp://127.0.0.1:1/", "test"):
        pass
    with socket.create_server(("127.0.0.1", 0)) as listening:
        check_reachable(f"amqp://127.0.0.1:{listening.getsockname()[1]}/")


def test_a_transport_is_ready_in_the_block_and_closed_after_it(memory_url: str) -> None:
    with connected(memory_url, "test", TransportOptions(declares=[stream_queue("#")])) as transport:
        assert is_connected(transport)
    assert not is_connected(transport)


def test_a_transport_is_closed_after_an_error_in_the_block(memory_url: str) -> None:
    with pytest.raises(KeyError), connected(memory_url, "test") as transport:
        raise KeyError
    assert not is_connected(transport)


def test_a_broker_that_does_not_answer_is_an_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        opened = connected(f"amqp://guest:guest@127.0.0.1:{port}/", "test")
        with pytest.raises(BrokerUnreachable, match=rf"^RabbitMQ at 127\.0\.0\.1:{port} cannot be reached\.$"), opened:
            pass
