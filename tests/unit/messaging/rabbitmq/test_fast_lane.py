"""The fast lane equals pika in both directions: the same messages and confirms in the same order, the same bytes."""

import struct
import sys
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pika import frame, spec
from pika.channel import ContentFrameAssembler
from pika.compat import long
from pika.connection import Connection

from bus.messaging.message import Message
from bus.messaging.rabbitmq.fast_lane import Decoder, Unusual, acknowledgement, publication
from bus.messaging.rabbitmq.properties import TolerantProperties, message_of, properties_of

CHANNEL, CONFIRMING, OTHER = 1, 2, 3
TAG, QUEUE = "ctag1.0123456789abcdef", "catalog.create_product"


@pytest.fixture(autouse=True, scope="module")
def tolerant() -> Iterator[None]:
    """As in a process of ours."""
    before = spec.props[spec.BasicProperties.INDEX]
    spec.props[spec.BasicProperties.INDEX] = TolerantProperties
    yield
    spec.props[spec.BasicProperties.INDEX] = before


class Pika:
    """What pika makes of bytes, as a list of what happened."""

    def __init__(self, seen: list[str]) -> None:
        self._seen, self._buffer = seen, b""
        self._assemblers = {channel: ContentFrameAssembler() for channel in (CHANNEL, CONFIRMING, OTHER)}

    def receive(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            length, found = frame.decode_frame(self._buffer)
            if found is None:
                return
            self._buffer = self._buffer[length:]
            self._take(found)

    def _take(self, found: Any) -> None:
        method = getattr(found, "method", None)
        if isinstance(found, frame.Heartbeat):
            self._seen.append("heartbeat")
        elif isinstance(method, (spec.Basic.Ack, spec.Basic.Nack)):
            accepted = isinstance(method, spec.Basic.Ack)
            self._seen.append(confirmed(found.channel_number, method.delivery_tag, method.multiple, accepted))
        elif method is not None and not spec.has_content(method.INDEX):
            self._seen.append(repr(method))
        elif content := self._assemblers[found.channel_number].process(found):
            (method_frame, header, body), channel = content, found.channel_number
            method, message = method_frame.method, message_of(QUEUE, header.properties, body)
            if isinstance(method, spec.Basic.Deliver):
                self._seen.append(
                    delivered(channel, method.consumer_tag, method.delivery_tag, method.redelivered, message)
                )
            else:
                self._seen.append(f"{method!r} {message!r}")


def delivered(channel: int, consumer: str, tag: int, redelivered: bool, message: Message) -> str:
    """With the types of all header values: pika's 64-bit numbers print as no others do."""
    return f"delivered {channel} {consumer} {tag} {redelivered!r} {message!r}"


def confirmed(channel: int, tag: int, multiple: bool, accepted: bool) -> str:
    return f"confirmed {channel} {tag} {multiple!r} {accepted!r}"


def by_pika(stream: bytes) -> list[str]:
    seen: list[str] = []
    return _received(Pika(seen).receive, [stream], seen)


def by_the_fast_lane(pieces: list[bytes], most: int = sys.maxsize) -> tuple[list[str], int]:
    """What happened, and how many bytes pika was given. A body is cut after `most` bytes."""
    seen: list[str] = []
    reference, passed = Pika(seen), []

    def pass_on(data: bytes) -> None:
        passed.append(len(data))
        reference.receive(data)

    decoder = Decoder(pass_on)
    decoder.consume(
        CHANNEL, TAG, QUEUE, lambda tag, again, message: seen.append(delivered(CHANNEL, TAG, tag, again, message)), most
    )
    decoder.confirm(CONFIRMING, lambda *confirm: seen.append(confirmed(CONFIRMING, *confirm)))
    return _received(decoder.receive, pieces, seen), sum(passed)


def _received(receive: Any, pieces: list[bytes], seen: list[str]) -> list[str]:
    try:
        for piece in pieces:
            receive(piece)
    except Exception as error:
        seen.append(f"{type(error).__name__}: {error}")
    return seen


# What a broker sends.


def content(channel: int, method: Any, properties: Any, body: bytes, most: int = 2**17) -> bytes:
    frames = [frame.Method(channel, method), frame.Header(channel, len(body), properties)]
    frames += [frame.Body(channel, body[at : at + most]) for at in range(0, len(body), most)]
    return b"".join(each.marshal() for each in frames)


class Raw:
    """Properties of these bytes."""

    INDEX = spec.BasicProperties.INDEX

    def __init__(self, flags: int, encoded: bytes) -> None:
        self._encoded = struct.pack(">H", flags) + encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


def with_table(table: bytes) -> Raw:
    return Raw(1 << 13, struct.pack(">I", len(table)) + table)


numbers = st.integers(0, 2**64 - 1)
short_texts = st.text(max_size=60) | st.binary(max_size=255)
values: Any = st.recursive(
    st.text(max_size=20) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.none() | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner, max_size=2),
    max_leaves=4,
)
tables = st.dictionaries(st.text(max_size=20), values, max_size=4)
usual_tables = st.dictionaries(st.sampled_from(["traceparent", "status"]), st.text() | st.integers() | st.booleans())
known_properties = st.builds(
    pika.BasicProperties,
    content_type=st.none() | st.just("application/json") | short_texts,
    content_encoding=st.none() | short_texts,
    headers=st.none() | tables,
    delivery_mode=st.none() | st.integers(0, 255),
    priority=st.none() | st.none() | st.integers(0, 255),
    correlation_id=st.none() | short_texts,
    reply_to=st.none() | short_texts,
    expiration=st.none() | st.integers(0, 2**40).map(str) | st.sampled_from(["", "+7", "\u0661", " 5"]),
    message_id=st.none() | short_texts,
    timestamp=st.none() | st.none() | numbers,
    type=st.none() | short_texts,
    app_id=st.none() | st.none() | short_texts,
)
field_kinds = st.sampled_from([bytes([kind]) for kind in b"tbBUuIiLlfdDsSxAFTV?"])
odd_tables = st.lists(
    st.tuples(st.binary(max_size=4).map(lambda name: bytes([len(name)]) + name), field_kinds, st.binary(max_size=12)),
    max_size=3,
).map(lambda rows: b"".join(map(b"".join, rows)))
odd_properties = st.builds(Raw, st.integers(0, 2**16 - 1), st.binary(max_size=80)) | odd_tables.map(with_table)
bodies = st.binary(max_size=300)


def _messages(properties: Any) -> st.SearchStrategy[bytes]:
    deliver = st.builds(
        spec.Basic.Deliver, st.sampled_from([TAG, TAG, TAG, "another"]), numbers, st.booleans(), st.text(max_size=9),
        st.text(max_size=40),
    )  # fmt: skip
    channels = st.sampled_from([CHANNEL, CHANNEL, CHANNEL, OTHER])
    return st.builds(content, channels, deliver, properties, bodies, st.sampled_from([2**17, 100]))


confirms = st.builds(
    lambda channel, method: frame.Method(channel, method).marshal(),
    st.sampled_from([CONFIRMING, CONFIRMING, CHANNEL]),
    st.builds(spec.Basic.Ack, numbers, st.booleans()) | st.builds(spec.Basic.Nack, numbers, st.booleans()),
)
others = st.sampled_from(
    [
        frame.Heartbeat().marshal(),
        frame.Method(CHANNEL, spec.Basic.CancelOk(TAG)).marshal(),
        frame.Method(CHANNEL, spec.Basic.QosOk()).marshal(),
        content(CONFIRMING, spec.Basic.Return(312, "NO_ROUTE", "", "nowhere"), pika.BasicProperties(), b"{}"),
        frame.Method(0, spec.Connection.Blocked("memory")).marshal(),
    ]
)
streams = st.lists(_messages(known_properties) | confirms | others, min_size=1, max_size=5).map(b"".join)


@st.composite
def pieces_of(draw: Any, streams: st.SearchStrategy[bytes]) -> list[bytes]:
    stream = draw(streams)
    cuts = sorted(draw(st.sets(st.integers(1, len(stream) - 1), max_size=6))) if len(stream) > 1 else []
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(pieces_of(streams))
def test_the_same_happens_in_the_same_order_wherever_the_bytes_are_split(pieces: list[bytes]) -> None:
    assert by_the_fast_lane(pieces)[0] == by_pika(b"".join(pieces))


@given(pieces_of(st.tuples(_messages(odd_properties), _messages(known_properties)).map(b"".join)))
def test_the_same_happens_with_properties_that_make_no_sense(pieces: list[bytes]) -> None:
    assert by_the_fast_lane(pieces)[0] == by_pika(b"".join(pieces))


USUAL = properties_of(
    Message(
        queue=QUEUE,
        body=b"",
        content_type="application/json",
        message_id="a-1",
        correlation_id="é",
        reply_to="amq.gen-abc",
        expiration_ms=5000,
        type="catalog.product_changed",
        persistent=True,
        headers={"traceparent": "00-aa", "status": 201, "large": 2**40, "minus": -1, "yes": True, "no": False},
    )
)
DELIVER = spec.Basic.Deliver(TAG, 7, True, "bus.requests", QUEUE)
LAMP = b'{"name": "Lamp"}'


@pytest.mark.parametrize(
    ("body", "most"), [(LAMP, 2**17), (LAMP, 5), (b"", 2**17)], ids=["one frame", "four frames", "empty"]
)
def test_every_single_split_of_a_message_and_a_confirm(body: bytes, most: int) -> None:
    stream = b"".join(
        [
            content(CHANNEL, DELIVER, USUAL, body, most),
            frame.Method(CONFIRMING, spec.Basic.Ack(3, True)).marshal(),
            frame.Heartbeat().marshal(),
        ]
    )
    expected = by_pika(stream)
    assert len(expected) == 3
    for cut in range(1, len(stream)):
        assert by_the_fast_lane([stream[:cut], stream[cut:]])[0] == expected
    assert by_the_fast_lane([stream[at : at + 1] for at in range(len(stream))])[0] == expected


def test_pika_sees_nothing_of_usual_messages_and_confirms() -> None:
    stream = content(CHANNEL, DELIVER, USUAL, LAMP) + frame.Method(CONFIRMING, spec.Basic.Nack(3)).marshal()
    seen, passed = by_the_fast_lane([stream, stream])
    assert (len(seen), passed) == (4, 0)


UNUSUAL: dict[str, bytes] = {
    "another channel": content(OTHER, DELIVER, USUAL, LAMP),
    "another consumer": content(CHANNEL, spec.Basic.Deliver("ctag2", 7, False, "", QUEUE), USUAL, LAMP),
    "a priority": content(CHANNEL, DELIVER, pika.BasicProperties(priority=1), LAMP),
    "a time": content(CHANNEL, DELIVER, pika.BasicProperties(timestamp=2**40), LAMP),
    "text that is no text": content(CHANNEL, DELIVER, pika.BasicProperties(correlation_id=b"\xff"), LAMP),
    "an expiration that is no number": content(CHANNEL, DELIVER, pika.BasicProperties(expiration="+5"), LAMP),
    "a nested table": content(CHANNEL, DELIVER, pika.BasicProperties(headers={"a": {"b": 1}}), LAMP),
    "a table that ends too early": content(CHANNEL, DELIVER, with_table(b"\x01aI\x00"), LAMP),
    "more flags": content(CHANNEL, DELIVER, Raw(1, b"\0\0"), LAMP),
    "bytes after the last property": content(CHANNEL, DELIVER, Raw(0, b"more"), LAMP),
    "a confirm on another channel": frame.Method(CHANNEL, spec.Basic.Ack(3)).marshal(),
    "a body on another channel": b"".join(
        each.marshal()
        for each in (
            frame.Method(OTHER, DELIVER),
            frame.Header(OTHER, len(LAMP), USUAL),
            frame.Method(CHANNEL, DELIVER),
            frame.Header(CHANNEL, len(LAMP), USUAL),
            frame.Body(OTHER, LAMP),
            frame.Body(CHANNEL, LAMP),
        )
    ),
    "a frame in between": frame.Method(CHANNEL, DELIVER).marshal()
    + frame.Heartbeat().marshal()
    + content(CHANNEL, DELIVER, USUAL, LAMP)[len(frame.Method(CHANNEL, DELIVER).marshal()) :],
}


@pytest.mark.parametrize("stream", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_pika(stream: bytes) -> None:
    usual = content(CHANNEL, DELIVER, USUAL, LAMP)
    seen, passed = by_the_fast_lane([usual + stream + usual])
    assert passed == len(stream)
    assert seen == by_pika(usual + stream + usual)


@pytest.mark.parametrize("kind", ["the method", "the header", "the body", "a confirm"])
def test_a_wrong_end_of_a_frame_is_left_to_pika(kind: str) -> None:
    method, header = frame.Method(CHANNEL, DELIVER).marshal(), frame.Header(CHANNEL, len(LAMP), USUAL).marshal()
    ends = {"the method": len(method), "the header": len(method) + len(header)}
    stream = bytearray(content(CHANNEL, DELIVER, USUAL, LAMP))
    if kind == "a confirm":
        stream = bytearray(frame.Method(CONFIRMING, spec.Basic.Ack(3)).marshal())
    stream[ends.get(kind, len(stream)) - 1] = 0
    [last] = by_the_fast_lane([bytes(stream)])[0]
    assert last.startswith("InvalidFrameError")


def test_a_delivery_without_its_tag_is_left_to_pika() -> None:
    payload = spec.Basic.Deliver.INDEX.to_bytes(4, "big") + bytes([len(TAG)]) + TAG.encode() + b"\0" * 5
    stream = struct.pack(">BHI", 1, CHANNEL, len(payload)) + payload + b"\xce"
    stream += frame.Header(CHANNEL, len(LAMP), USUAL).marshal() + frame.Body(CHANNEL, LAMP).marshal()
    [last] = by_the_fast_lane([stream])[0]
    assert last.startswith("error: unpack")


def test_a_large_body_is_put_together_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Received in small pieces, it would otherwise be copied with each."""
    body = bytes(2**20)
    stream = content(CHANNEL, DELIVER, USUAL, body)
    looks = []
    decoded = Decoder._frame
    monkeypatch.setattr(Decoder, "_frame", lambda *given: looks.append(1) or decoded(*given))
    seen, passed = by_the_fast_lane([stream[at : at + 4096] for at in range(0, len(stream), 4096)])
    assert seen == by_pika(stream)
    assert passed == 0
    assert len(looks) < 5


MOST = 10
TOO_LONG = bytes(range(100))
HEARTBEAT = frame.Heartbeat().marshal()


@pytest.mark.parametrize("properties", [USUAL, pika.BasicProperties(priority=1)], ids=["the lane", "pika"])
@pytest.mark.parametrize("most", [2**17, 30, 7])
def test_a_body_that_is_too_long_is_cut_whoever_decodes_it(properties: Any, most: int) -> None:
    after = content(CHANNEL, DELIVER, USUAL, LAMP[:MOST])
    stream = content(CHANNEL, DELIVER, properties, TOO_LONG, most) + after
    expected = by_pika(content(CHANNEL, DELIVER, properties, TOO_LONG[:MOST]) + after)
    for at in range(1, len(stream)):
        assert by_the_fast_lane([stream[:at], stream[at:]], MOST)[0] == expected


def test_other_frames_may_come_between_the_pieces_of_a_body_that_is_cut() -> None:
    head = len(content(CHANNEL, DELIVER, USUAL, b""))
    cut = content(CHANNEL, DELIVER, USUAL, TOO_LONG, 50)
    confirm = frame.Method(CONFIRMING, spec.Basic.Ack(3)).marshal()
    stream = cut[:head] + HEARTBEAT + cut[head : head + 58] + confirm + cut[head + 58 :]
    expected = ["heartbeat", confirmed(CONFIRMING, 3, False, True)]
    assert by_the_fast_lane([stream], MOST)[0] == expected + by_pika(content(CHANNEL, DELIVER, USUAL, TOO_LONG[:MOST]))


def test_bodies_that_are_cut_may_come_at_the_same_time_over_two_channels() -> None:
    seen: list[tuple[int, bytes]] = []
    decoder = Decoder(lambda _data: seen.append((0, b"")))
    for channel in (CHANNEL, OTHER):
        decoder.consume(
            channel, TAG, QUEUE, lambda _tag, _again, message, of=channel: seen.append((of, message.body)), MOST
        )
    head, piece = len(content(CHANNEL, DELIVER, USUAL, b"")), 58
    one, other = (content(channel, DELIVER, USUAL, TOO_LONG, 50) for channel in (CHANNEL, OTHER))
    for start, end in ((0, head), (head, head + piece), (head + piece, len(one))):
        decoder.receive(one[start:end] + other[start:end])
    assert seen == [(CHANNEL, TOO_LONG[:MOST]), (OTHER, TOO_LONG[:MOST])]


def test_a_body_that_is_cut_ends_with_its_channel() -> None:
    """Any other frame of a channel ends its content (AMQP 0-9-1, section 4.2.6)."""
    begun = content(CHANNEL, DELIVER, USUAL, TOO_LONG, 50)[:-58]
    closed = frame.Method(CHANNEL, spec.Channel.CloseOk()).marshal()
    after = content(CHANNEL, DELIVER, USUAL, LAMP[:MOST])
    assert by_the_fast_lane([begun + closed + after], MOST)[0] == by_pika(closed + after)


def test_of_a_body_that_is_cut_no_more_is_held_than_its_reader_accepts() -> None:
    decoder = Decoder(lambda _data: None)
    decoder.consume(CHANNEL, TAG, QUEUE, lambda *_: None, MOST)
    stream = content(CHANNEL, DELIVER, USUAL, bytes(2**22))
    tracemalloc.start()
    for at in range(0, len(stream), 4096):
        decoder.receive(stream[at : at + 4096])
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 2**20  # two or three frames


@pytest.mark.parametrize("first", [b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_what_is_no_frame_is_pikas_from_then_on(first: bytes) -> None:
    passed: list[bytes] = []
    decoder = Decoder(passed.append)
    for byte in first + b"more":
        decoder.receive(bytes([byte]))
    assert b"".join(passed) == first + b"more"


# What we send.

messages = st.builds(
    Message,
    queue=st.text(max_size=100),
    body=bodies,
    exchange=st.sampled_from(["", "bus.events", "catalog.retry.1s"]),
    type=st.none() | st.text(max_size=100),
    message_id=st.none() | st.text(max_size=100),
    correlation_id=st.none() | short_texts,
    reply_to=st.none() | st.text(max_size=100),
    content_type=st.none() | st.text(max_size=100),
    content_encoding=st.none() | st.none() | st.text(max_size=5),
    expiration_ms=st.none() | st.integers(0, 2**40),
    timestamp=st.none() | st.none() | st.integers(0, 2**40),
    persistent=st.booleans(),
    headers=usual_tables | tables | st.dictionaries(st.text(), st.integers(-(2**63), 2**63 - 1).map(long)),
)
EDGE = [-(2**63), -(2**31) - 1, -(2**31), -1, 0, 2**31 - 1, 2**31, 2**63 - 1, 2**63]


def encoded_by_pika(channel: int, message: Message, mandatory: bool, most: int) -> bytes:
    sent: list[bytes] = []
    connection = SimpleNamespace(_body_max_length=most, _output_marshaled_frames=sent.extend)
    method = spec.Basic.Publish(exchange=message.exchange, routing_key=message.queue, mandatory=mandatory)
    Connection._send_message(connection, channel, method, (properties_of(message), message.body))
    return b"".join(sent)


@given(st.integers(1, 2**16 - 1), messages, st.booleans(), st.sampled_from([4088, 100, 1]))
@example(1, Message(queue="q" * 255, body=b"x" * 100), True, 100)
@example(1, Message(queue="q" * 256, body=b""), True, 100)
@example(1, Message(queue="q", body=b"", message_id="m" * 256), True, 100)
@example(1, Message(queue="q", body=b"", correlation_id="\ud800"), True, 100)
@example(1, Message(queue="q", body=b"", headers={"n" * 256: 1}), True, 100)
@example(1, Message(queue="q", body=b"", headers={str(each): each for each in EDGE[:-1]}), True, 100)
@example(1, Message(queue="q", body=b"", headers={str(each): each for each in EDGE}), True, 100)
def test_the_bytes_are_pikas(channel: int, message: Message, mandatory: bool, most: int) -> None:
    try:
        expected = encoded_by_pika(channel, message, mandatory, most)
    except Exception:
        with pytest.raises(Exception):  # noqa: B017, PT011  # whichever: pika is asked then
            publication(channel, message, mandatory, most)
        return
    if message.content_encoding is not None or message.timestamp is not None:
        with pytest.raises(Unusual):
            publication(channel, message, mandatory, most)
    else:
        assert publication(channel, message, mandatory, most) == expected
        assert publication(channel, message, mandatory, most) == expected  # now with what it remembers


@given(st.integers(1, 2**16 - 1), numbers, st.booleans())
def test_an_acknowledgement_is_pikas(channel: int, tag: int, multiple: bool) -> None:
    assert acknowledgement(channel, tag, multiple) == frame.Method(channel, spec.Basic.Ack(tag, multiple)).marshal()
