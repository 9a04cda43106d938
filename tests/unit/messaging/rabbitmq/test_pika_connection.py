"""pika's connection, on a pair of sockets: what is sent at once, and what is left to pika."""

import socket
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from msgspec import structs
from pika import frame, spec
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.adapters.utils.selector_ioloop_adapter import SelectorIOServicesAdapter
from pika.exceptions import ShortStringTooLong

from bus.messaging.message import Message
from bus.messaging.rabbitmq.pika_connection import Connection
from bus.messaging.rabbitmq.properties import properties_of

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


# The seams: what of pika's private code the fast lane relies on.


class Wire:
    """A transport of pika's that keeps what is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, data: bytes) -> None:
        self.written += data


FRAME_MAX = 4096


class Broker:
    """The other end of a connection: what it says is given to the connection, and nothing is sent over a network."""

    def __init__(self, loop: IOLoop) -> None:
        self.wire, self.said = Wire(), 0
        opened: list[Connection] = []
        parameters = pika.ConnectionParameters(heartbeat=600)
        self.connection = Connection(parameters, opened.append, custom_ioloop=loop, internal_connection_workflow=False)
        self.connection._proto_connection_made(self.wire)
        self.say(0, spec.Connection.Start(server_properties={}))
        self.say(0, spec.Connection.Tune(channel_max=10, frame_max=FRAME_MAX, heartbeat=600))
        self.say(0, spec.Connection.OpenOk())
        assert opened == [self.connection]
        self.channel = self.connection.channel(on_open_callback=lambda _channel: None)
        self.say(1, spec.Channel.OpenOk())

    def say(self, channel: int, *parts: Any) -> None:
        """A method, or a method with properties and body."""
        frames = [frame.Method(channel, parts[0])]
        if len(parts) > 1:
            frames += [frame.Header(channel, len(parts[2]), parts[1]), frame.Body(channel, parts[2])]
        data = b"".join(each.marshal() for each in frames)
        self.said += len(data)
        self.connection._proto_data_received(data)

    def heard(self) -> bytes:
        heard = bytes(self.wire.written)
        self.wire.written.clear()
        return heard


@pytest.fixture
def broker() -> Iterator[Broker]:
    loop = IOLoop()
    yield Broker(loop)
    loop.close()


MESSAGE = Message(queue="q", body=b"{}", message_id="1", persistent=True)


def test_messages_and_confirms_come_over_the_lane_and_unusual_ones_over_pika(broker: Broker) -> None:
    seen: list[Any] = []
    tag = broker.channel.basic_consume("q", lambda _channel, method, _properties, _body: seen.append(method))
    broker.say(1, spec.Basic.ConsumeOk(tag))
    broker.connection.on_messages(broker.channel, tag, "q", lambda *message: seen.append(message))
    broker.connection.on_confirms(broker.channel, lambda *confirm: seen.append(confirm))
    broker.say(1, spec.Basic.Deliver(tag, 1, True, "", "q"), properties_of(MESSAGE), MESSAGE.body)
    broker.say(1, spec.Basic.Deliver(tag, 2, False, "", "q"), pika.BasicProperties(priority=1), MESSAGE.body)
    broker.say(1, spec.Basic.Ack(3, multiple=True))
    broker.say(1, spec.Basic.Nack(4))
    assert seen[0] == (1, True, MESSAGE)
    assert seen[1].delivery_tag == 2
    assert seen[2:] == [(3, True, True), (4, False, False)]


def test_heartbeats_count_what_the_lane_receives_and_sends(broker: Broker) -> None:
    """Otherwise pika would end a connection on which messages come, and nothing else."""
    connection, checker = broker.connection, broker.connection._heartbeat_checker
    tag = broker.channel.basic_consume("q", lambda *_: None)
    broker.say(1, spec.Basic.ConsumeOk(tag))
    connection.on_messages(broker.channel, tag, "q", lambda *_: None)
    assert connection.bytes_received == broker.said
    checker._update_counters()
    assert not checker._has_received_data
    broker.say(1, spec.Basic.Deliver(tag, 1, True, "", "q"), properties_of(MESSAGE), MESSAGE.body)
    assert checker._has_received_data
    assert connection.bytes_received == broker.said
    sent_before, _ = connection.bytes_sent, broker.heard()
    connection.publish(broker.channel, MESSAGE, mandatory=True)
    connection.acknowledge(broker.channel, 1, multiple=False)
    assert connection.bytes_sent - sent_before == len(broker.heard())


@pytest.mark.parametrize("body", [b"{}", b"x" * 10_000], ids=["one frame", "more than a frame holds"])
def test_what_is_published_are_the_bytes_that_pika_would_send(broker: Broker, body: bytes) -> None:
    message = structs.replace(MESSAGE, body=body)
    broker.heard()
    broker.channel.basic_publish("", message.queue, message.body, properties_of(message), mandatory=True)
    by_pika = broker.heard()
    broker.connection.publish(broker.channel, message, mandatory=True)
    assert broker.heard() == by_pika
    broker.channel.basic_ack(7, multiple=True)
    by_pika = broker.heard()
    broker.connection.acknowledge(broker.channel, 7, multiple=True)
    assert broker.heard() == by_pika


def test_what_the_lane_cannot_encode_is_published_by_pika(broker: Broker) -> None:
    broker.heard()
    broker.connection.publish(broker.channel, structs.replace(MESSAGE, timestamp=1_790_000_000), mandatory=False)
    [method, header, body] = frames_of(broker.heard())
    assert (method.method.routing_key, header.properties.timestamp, body.fragment) == ("q", 1_790_000_000, b"{}")
    with pytest.raises(ShortStringTooLong):
        broker.connection.publish(broker.channel, structs.replace(MESSAGE, message_id="x" * 256), mandatory=False)
    assert not broker.heard()


def test_nothing_overtakes_what_pika_sends_itself(broker: Broker) -> None:
    broker.heard()
    with broker.connection.buffered_writes():
        broker.connection.publish(broker.channel, MESSAGE, mandatory=False)
        broker.channel.basic_qos(prefetch_count=1)
        broker.connection.acknowledge(broker.channel, 1, multiple=False)
        assert not broker.wire.written
    names = [found.method.NAME for found in frames_of(broker.heard()) if isinstance(found, frame.Method)]
    assert names == ["Basic.Publish", "Basic.Qos", "Basic.Ack"]


def test_a_readable_socket_is_read_once_and_for_much(wire: tuple[Connection, socket.socket]) -> None:
    connection, theirs = wire
    transport, reads = connection._transport, list[bytes]()
    connection._on_stream_connected = lambda: None
    connection._proto_connection_made(transport)
    transport._protocol.data_received = reads.append
    theirs.sendall(b"x" * 20_000)
    transport._on_socket_readable()
    assert reads == [b"x" * 20_000]


def frames_of(data: bytes) -> list[Any]:
    found = []
    while data:
        length, one = frame.decode_frame(data)
        found.append(one)
        data = data[length:]
    return found
