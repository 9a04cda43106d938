"""pika's connection, on a pair of sockets: what is sent at once, and what is left to pika."""

import socket
from collections.abc import Iterator

import pytest
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter

from bus.messaging.rabbitmq.pika_connection import Connection

LARGE = b"x" * 2**24


class Protocol:
    """What pika's transport reports to."""

    def connection_lost(self, error: BaseException | None) -> None:
        pass


@pytest.fixture
def wire() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection that speaks no AMQP, and the other end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    connection = Connection.__new__(Connection)
    loop = IOLoop()
    connection._transport = _AsyncPlaintextTransport(ours, Protocol(), SelectorIOServicesAdapter(loop))
    yield connection, theirs
    for each in (ours, theirs, loop):
        each.close()


def test_what_the_socket_accepts_is_sent_at_once(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    connection._adapter_emit_data(b"one")
    assert theirs.recv(100) == b"one"
    assert connection._transport.get_write_buffer_size() == 0


def test_buffered_writes_are_sent_together_at_the_end_of_the_block(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    with connection.buffered_writes():
        connection._adapter_emit_data(b"one")
        connection._adapter_emit_data(b" two")
        theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
    assert theirs.recv(100) == b"one two"


def test_what_the_socket_does_not_accept_waits_and_nothing_overtakes_it(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    connection._adapter_emit_data(LARGE)
    connection._adapter_emit_data(b"last")
    received = bytearray()
    while connection._transport.get_write_buffer_size():
        received += theirs.recv(2**20)
        connection._transport._on_socket_writable()
    while len(received) < len(LARGE) + 4:
        received += theirs.recv(2**20)
    assert bytes(received) == LARGE + b"last"


def test_nothing_is_sent_after_the_connection_was_aborted(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    connection._transport.abort()
    connection._adapter_emit_data(b"too late")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(100)


def test_an_error_of_the_socket_is_left_to_pika(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    theirs.close()
    connection._adapter_emit_data(b"lost")
    assert connection._transport.get_write_buffer_size() == 4
