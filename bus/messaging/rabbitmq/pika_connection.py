"""pika's connection with a fast lane in front, and with fewer system calls.

Each system call releases the GIL, and getting it back costs more than the call. pika's private names that are used here
are listed in `docs/decisions/0021-a-fast-lane-in-front-of-pika.md`.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.channel import Channel
from pika.exceptions import ConnectionClosedByClient

from bus.messaging.message import Message
from bus.messaging.rabbitmq.fast_lane import Decoder, OnConfirm, OnMessage, acknowledgement, publication
from bus.messaging.rabbitmq.properties import properties_of

# pika reads 4 KiB at a time.
RECEIVED_BYTES = 64 * 1024


class Connection(SelectConnection):  # type: ignore[misc]  # pika is half typed
    """Sends at once as much as the socket accepts, and reads once whenever the socket is readable.

    pika would send in the next round of its loop, and read until the socket is empty. Over TLS it still does.
    """

    _buffered: list[bytes] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._decoder = Decoder(self._pass_to_pika)
        super().__init__(*arguments, **named)

    def on_messages(
        self, channel: Channel, consumer_tag: str, queue: str, on_message: OnMessage, most: int = sys.maxsize
    ) -> None:
        """Call `on_message` with each message of a consumer, but for those that only pika can decode.

        Of a body that is longer than `most` bytes no more than these are received.
        """
        self._decoder.consume(channel.channel_number, consumer_tag, queue, on_message, most)

    def on_confirms(self, channel: Channel, on_confirm: OnConfirm) -> None:
        """Call `on_confirm` with each confirm on a channel."""
        self._decoder.confirm(channel.channel_number, on_confirm)

    def publish(self, channel: Channel, message: Message, *, mandatory: bool) -> None:
        """Publish a message on an open channel."""
        try:
            data = publication(channel.channel_number, message, mandatory, self._body_max_length)
        except Exception:  # whatever it is, pika either encodes it or raises its own
            channel.basic_publish(message.exchange, message.queue, message.body, properties_of(message), mandatory)
        else:
            self._emit(data)

    def acknowledge(self, channel: Channel, tag: int, multiple: bool) -> None:
        """Acknowledge a message on an open channel, or (`multiple`) all up to it."""
        self._emit(acknowledgement(channel.channel_number, tag, multiple))

    @contextmanager
    def buffered_writes(self) -> Iterator[None]:
        """Collect what is sent in this block, and send it in one write at its end."""
        self._buffered = []
        try:
            yield
        finally:
            frames, self._buffered = self._buffered, None
            if frames:
                self._adapter_emit_data(b"".join(frames))

    def drop(self) -> None:
        """Close the socket without AMQP's close handshake, as if this process had died."""
        self._terminate_stream(ConnectionClosedByClient(200, "dropped"))

    def _proto_connection_made(self, transport: Any) -> None:
        if isinstance(transport, _AsyncPlaintextTransport):
            transport._MAX_RECV_BYTES = RECEIVED_BYTES
            transport._MAX_CONSUME_BYTES = 1  # stop after the first read
        super()._proto_connection_made(transport)

    def _proto_data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)  # heartbeats ask whether this number grows
        self._decoder.receive(data)

    def _pass_to_pika(self, data: bytes) -> None:
        self.bytes_received -= len(data)  # pika counts them too
        super()._proto_data_received(data)

    def _emit(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self._adapter_emit_data(data)

    def _adapter_emit_data(self, data: bytes) -> None:
        """All that is sent goes through here, pika's frames as ours, so nothing overtakes anything."""
        if self._buffered is not None:
            self._buffered.append(data)
        elif rest := data[self._sent_at_once(data) :]:
            super()._adapter_emit_data(rest)

    def _sent_at_once(self, data: bytes) -> int:
        """Send now; returns how many bytes the socket accepted. After an error it is 0, and pika meets the error."""
        transport = self._transport
        is_plain = isinstance(transport, _AsyncPlaintextTransport)
        if is_plain and transport._state == transport._STATE_ACTIVE and not transport.get_write_buffer_size():
            with suppress(OSError):
                return int(transport._sock.send(data))
        return 0
