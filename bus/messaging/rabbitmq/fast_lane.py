"""The fast lane: the frames that make up nearly all traffic, decoded and encoded without pika's objects. No I/O.

In: messages for our consumers, and publisher confirms. Out: messages, and acknowledgements. Sections are those of the
AMQP 0-9-1 specification; the layout of a frame is in section 2.3.5, that of a message in 4.2.6. Its rules:

- pika is the reference: what is decoded equals what pika decodes, and what is encoded are pika's bytes.
- All else goes to pika, untouched, in order, as whole frames: every other method and channel, and what is unusual, such
  as properties and types of header that we do not use, text that is not UTF-8, frames that do not follow each other,
  lengths that contradict each other. So an error in a frame is pika's to raise.
- Nothing is decoded before the whole message is there.
- A body that is longer than its reader accepts is cut, for the lane and for pika alike: what is over is dropped as it
  comes. Otherwise each unacknowledged message could hold as much memory as the broker accepts for one.
"""

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct
from struct import error as StructError  # noqa: N812  # `error` would say too little
from typing import Any

from pika.compat import long
from pika.data import encode_table

from bus.messaging.message import Message

# With a message: its delivery tag, whether it was delivered before, and the message.
OnMessage = Callable[[int, bool, Message], None]
# With a confirm: its delivery tag, whether it is for all messages up to it, and whether they were accepted.
OnConfirm = Callable[[int, bool, bool], None]

_METHOD, _HEADER, _BODY, _HEARTBEAT = 1, 2, 3, 8
_END = 0xCE
# What a frame has besides its payload: type, channel and size before it, the end mark behind it.
_OVERHEAD = 8
_FRAME = Struct(">BHI")
_HEADER_FRAME = Struct(">BHIHHQH")  # the frame's own three, then class, weight, size of the body, property flags
_BODY_SIZE_AT = 11  # in the header frame
_HEADER_REST = Struct(">IHHQH")
_ACK = Struct(">BHIIQBB")
_CONFIRM, _I32, _I64 = Struct(">QB"), Struct(">i"), Struct(">q")
_BASIC, _ACK_METHOD, _CONFIRM_SIZE = 60, 60 << 16 | 80, 13
_DELIVER, _CONFIRMED, _REFUSED = b"\0\x3c\0\x3c", b"\0\x3c\0\x50", b"\0\x3c\0\x78"

# The flags of the properties that we send (section 4.2.6.1).
_CONTENT_TYPE, _HEADERS, _MODE = 1 << 15, 1 << 13, 1 << 12
_TEXTS = _CORRELATION_ID, _REPLY_TO, _EXPIRATION, _MESSAGE_ID, _TYPE = 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 5
_UNUSUAL = 0xFFFF & ~(_CONTENT_TYPE | _HEADERS | _MODE | sum(_TEXTS))
_TEXT, _NUMBER, _LARGE, _FLAG = ord("S"), ord("I"), (ord("l"), ord("L")), ord("t")

_LENGTHS = [bytes((length,)) for length in range(256)]


class Unusual(Exception):
    """Not for the fast lane: pika has to decode or encode it."""


class Decoder:
    """Takes received bytes, split anywhere. `pass_on` is called with what is pika's."""

    def __init__(self, pass_on: Callable[[bytes], None]) -> None:
        self._pass_on = pass_on
        self._consumers: dict[tuple[int, bytes], tuple[str, OnMessage, int]] = {}
        self._on_confirm: dict[int, OnConfirm] = {}
        self._cut: dict[int, _CutMessage] = {}
        self._kept: list[bytes] = []
        self._length = self._needed = 0
        self._is_closed = False

    def consume(
        self, channel: int, consumer_tag: str, queue: str, on_message: OnMessage, most: int = sys.maxsize
    ) -> None:
        """Decode what comes for this consumer, until the connection ends. A body has at most `most` bytes then."""
        self._consumers[channel, consumer_tag.encode()] = (queue, on_message, most)

    def confirm(self, channel: int, on_confirm: OnConfirm) -> None:
        """Decode the confirms of a channel, until another channel has its number."""
        self._on_confirm[channel] = on_confirm

    def receive(self, data: bytes) -> None:
        """Decode all that is complete. The rest is kept until as much has come as its frame needs."""
        if self._kept:
            self._kept.append(data)
            self._length += len(data)
            if self._length < self._needed:
                return
            data = b"".join(self._kept)
            self._kept.clear()
        place, self._needed = 0, _OVERHEAD
        while not self._is_closed and len(data) - place >= _OVERHEAD and (done := self._frame(data, place)):
            place, self._needed = done, _OVERHEAD
        if self._is_closed:
            self._pass_on(data[place:])
        elif place < len(data):
            self._kept.append(data[place:])
            self._length = len(data) - place

    def _frame(self, data: bytes, place: int) -> int:
        """Decode the frame at this place, or a message; returns where it ends, or 0 when it is not complete."""
        kind, channel, size = _FRAME.unpack_from(data, place)
        after: int = place + size + _OVERHEAD
        if after > len(data):
            # What is no frame has no length either (a protocol header, section 4.2.2).
            self._is_closed = kind not in (_METHOD, _HEADER, _BODY, _HEARTBEAT)
            self._needed = after - place
            return 0
        if self._cut and channel in self._cut:
            if kind == _BODY and data[after - 1] == _END:
                self._cut_body(channel, data[place + 7 : after - 1])
                return after
            del self._cut[channel]  # any other frame ends its content (AMQP 0-9-1, section 4.2.6)
        if kind == _METHOD and data[after - 1] == _END:
            method = data[place + 7 : place + 11]
            if method == _DELIVER:
                if done := self._delivered(data, channel, place, after):
                    return max(done, 0)
            elif size == _CONFIRM_SIZE and method in (_CONFIRMED, _REFUSED) and channel in self._on_confirm:
                tag, bits = _CONFIRM.unpack_from(data, place + 11)
                self._on_confirm[channel](tag, bool(bits & 1), method == _CONFIRMED)
                return after
        self._pass_on(data[place:after])
        return after

    def _cut_body(self, channel: int, piece: bytes) -> None:
        """Take a piece of a body that is too long; with the last one, decode the message that is left of it."""
        cut = self._cut[channel]
        if message := cut.take(piece):
            del self._cut[channel]
            if self._delivered(message, channel, 0, cut.method_bytes) <= 0:
                self._pass_on(message)

    def _delivered(self, data: bytes, channel: int, place: int, after: int) -> int:
        """Decode the message of this Basic.Deliver. Returns its end; 0 if it is pika's, -1 if it is not complete."""
        tag_at = place + 12 + data[place + 11]
        consumer = self._consumers.get((channel, data[place + 12 : tag_at]))
        if consumer is None or tag_at + 10 > after:
            return 0
        self._needed = after - place + _HEADER_FRAME.size
        if len(data) - place < self._needed:
            return -1
        kind, of, size, class_id, _weight, body_size, flags = _HEADER_FRAME.unpack_from(data, after)
        body_at: int = after + size + _OVERHEAD
        if kind != _HEADER or of != channel or class_id != _BASIC or size < 14:
            return 0
        is_too_long = body_size > consumer[2]
        if flags & _UNUSUAL and not is_too_long:
            return 0
        self._needed = body_at - place + (0 if is_too_long else body_size)
        if len(data) - place < self._needed:
            return -1
        if is_too_long:
            self._cut[channel] = _CutMessage(channel, data[place:after], data[after:body_at], body_size, consumer[2])
            return body_at
        if data[body_at - 1] != _END:
            return 0
        try:
            body, done = _read_body(data, channel, body_at, body_size)
            if done < 0:
                self._needed = -done - place
                return -1
            message = _read_message(consumer[0], body, flags, data, after + _HEADER_FRAME.size, body_at - 1)
        except (Unusual, UnicodeDecodeError, IndexError, StructError):
            return 0
        tag, bits = _CONFIRM.unpack_from(data, tag_at)
        consumer[1](tag, bool(bits & 1), message)
        return done


class _CutMessage:
    """A message that is received up to the length of body that its reader accepts."""

    def __init__(self, channel: int, method: bytes, header: bytes, size: int, most: int) -> None:
        self.channel, self.method_bytes = channel, len(method)
        self._left, self._room = size, most
        at = _BODY_SIZE_AT
        self._frames = [method, header[:at], most.to_bytes(8, "big"), header[at + 8 :]]

    def take(self, piece: bytes) -> bytes:
        """Take a piece of the body. The frames of the cut message once all of its body has come; empty before."""
        self._left -= len(piece)
        if kept := piece[: self._room]:
            self._room -= len(kept)
            self._frames += (_FRAME.pack(_BODY, self.channel, len(kept)), kept, b"\xce")
        return b"" if self._left > 0 else b"".join(self._frames)


def _read_body(data: bytes, channel: int, at: int, left: int) -> tuple[bytes, int]:
    """The body from its frames, and where it ends; minus the place up to which more is needed. Raises Unusual."""
    pieces = []
    while left:
        if len(data) - at < _OVERHEAD + left:
            return b"", -(at + _OVERHEAD + left)
        kind, of, size = _FRAME.unpack_from(data, at)
        stop = at + 7 + size
        if kind != _BODY or of != channel or not 0 < size <= left or data[stop] != _END:
            raise Unusual
        pieces.append(data[at + 7 : stop])
        left -= size
        at = stop + 1
    return pieces[0] if len(pieces) == 1 else b"".join(pieces), at


def _read_message(queue: str, body: bytes, flags: int, data: bytes, at: int, end: int) -> Message:
    """The message with the properties from `at` to `end`. Raises Unusual, and what Python raises for odd bytes."""
    content_type, headers, mode = None, dict[str, object](), 0
    if flags & _CONTENT_TYPE:
        content_type = data[at + 1 : (at := at + 1 + data[at])].decode()
    if flags & _HEADERS:
        at = _read_headers(headers, data, at)
    if flags & _MODE:
        mode = data[at]
        at += 1
    correlation_id, reply_to, expiration, message_id, type_, at = _read_texts(flags, data, at)
    if at != end or not (expiration is None or (expiration.isascii() and expiration.isdigit())):
        raise Unusual
    return Message(  # one by one: keywords out of a dictionary would take six times as long
        queue=queue,
        body=body,
        type=type_,
        message_id=message_id,
        correlation_id=correlation_id,
        reply_to=reply_to,
        content_type=content_type,
        expiration_ms=None if expiration is None else int(expiration),
        persistent=mode == 2,
        headers=headers,
    )


def _read_texts(flags: int, data: bytes, at: int) -> tuple[Any, ...]:
    """The properties after the delivery mode, in their order, and where they end."""
    correlation_id = reply_to = expiration = message_id = type_ = None
    if flags & _CORRELATION_ID:
        correlation_id = data[at + 1 : (at := at + 1 + data[at])].decode()
    if flags & _REPLY_TO:
        reply_to = data[at + 1 : (at := at + 1 + data[at])].decode()
    if flags & _EXPIRATION:
        expiration = data[at + 1 : (at := at + 1 + data[at])].decode()
    if flags & _MESSAGE_ID:
        message_id = data[at + 1 : (at := at + 1 + data[at])].decode()
    if flags & _TYPE:
        type_ = data[at + 1 : (at := at + 1 + data[at])].decode()
    return correlation_id, reply_to, expiration, message_id, type_, at


def _read_headers(headers: dict[str, object], data: bytes, at: int) -> int:
    """Read a table (section 4.2.5.5) into `headers`; returns where it ends. Raises Unusual for other types of value."""
    stop = at + 4 + int.from_bytes(data[at : at + 4], "big")
    at += 4
    while at < stop:
        name = data[at + 1 : (at := at + 1 + data[at])].decode()
        kind = data[at]
        at += 1
        if kind == _TEXT:
            length = int.from_bytes(data[at : at + 4], "big")
            headers[name] = data[at + 4 : (at := at + 4 + length)].decode()
        elif kind == _NUMBER:
            [headers[name]] = _I32.unpack_from(data, at)
            at += 4
        elif kind in _LARGE:
            headers[name] = long(_I64.unpack_from(data, at)[0])  # as pika reads it, so that it is sent on as it came
            at += 8
        elif kind == _FLAG:
            headers[name] = data[at] != 0
            at += 1
        else:
            raise Unusual
    if at != stop:
        raise Unusual
    return at


def publication(channel: int, message: Message, mandatory: bool, most: int) -> bytes:
    """Basic.Publish, header and body, with `most` bytes of it in a frame. Raises Unusual, or as Python does."""
    method, number = _method(channel, message.exchange, message.queue, mandatory), channel.to_bytes(2, "big")
    flags, properties = _properties(message)
    body = message.body
    pieces = [method, _HEADER_REST.pack(len(properties) + 14, _BASIC, 0, len(body), flags), properties, b"\xce"]
    for at in range(0, len(body), most):
        piece = body[at : at + most]
        pieces += (b"\x03", number, len(piece).to_bytes(4, "big"), piece, b"\xce")
    return b"".join(pieces)


def acknowledgement(channel: int, tag: int, multiple: bool) -> bytes:
    """Basic.Ack."""
    return _ACK.pack(_METHOD, channel, _CONFIRM_SIZE, _ACK_METHOD, tag, multiple, _END)


def _properties(message: Message) -> tuple[int, bytes]:
    """The flags and the properties."""
    if message.content_encoding is not None or message.timestamp is not None:
        raise Unusual
    flags, parts = _MODE, list[bytes]()
    if message.content_type is not None:
        flags |= _CONTENT_TYPE
        parts.append(_short(message.content_type))
    if message.headers:
        flags |= _HEADERS
        _add_headers(parts, message.headers)
    parts.append(b"\x02" if message.persistent else b"\x01")
    expiration = None if message.expiration_ms is None else str(message.expiration_ms)
    texts = (message.correlation_id, message.reply_to, expiration, message.message_id, message.type)
    for flag, value in zip(_TEXTS, texts, strict=True):
        if value is not None:
            flags |= flag
            raw = value if isinstance(value, bytes) else value.encode()
            parts += (_LENGTHS[len(raw)], raw)
    return flags, b"".join(parts)


def _add_headers(parts: list[bytes], headers: Mapping[str, object]) -> None:
    table: list[bytes] = []
    for name, value in headers.items():
        if type(value) is str:
            raw = value.encode()
            table += (_short(name), b"S", len(raw).to_bytes(4, "big"), raw)
        elif type(value) is int:
            table += (_short(name), b"I" + _I32.pack(value) if -(2**31) <= value < 2**31 else b"l" + _I64.pack(value))
        elif type(value) is bool:
            table += (_short(name), b"t\x01" if value else b"t\0")
        else:
            encode_table(parts, dict(headers))
            return
    raw = b"".join(table)
    parts += (len(raw).to_bytes(4, "big"), raw)


# What is sent again and again is encoded once. A program has few queues, and as many reply queues as it has callers.


@lru_cache(maxsize=4096)
def _method(channel: int, exchange: str, queue: str, mandatory: bool) -> bytes:
    """The method frame, and the header frame up to its size."""
    payload = b"\0\x3c\0\x28\0\0" + _short(exchange) + _short(queue) + bytes((mandatory,))
    return _FRAME.pack(_METHOD, channel, len(payload)) + payload + b"\xce\x02" + channel.to_bytes(2, "big")


@lru_cache(maxsize=1024)
def _short(text: str) -> bytes:
    """A short string (section 4.2.5.3). Raises ValueError when it is longer than 255 bytes."""
    raw = text.encode()
    return bytes((len(raw),)) + raw
