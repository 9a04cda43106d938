"""pika's connection with fewer system calls: each releases the GIL, and getting it back costs more than the call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import ConnectionClosedByClient
from pika.spec import Basic

# pika reads 4 KiB at a time. Much more than this would cost too: pika copies the rest of its buffer after each frame.
RECEIVED_BYTES = 16 * 1024


class Connection(SelectConnection):  # type: ignore[misc]  # pika is half typed
    """Sends at once as much as the socket accepts, and reads once whenever the socket is readable.

    pika would send in the next round of its loop, and read until the socket is empty. Over TLS it still does.
    """

    _buffered: list[bytes] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._on_confirm: dict[int, Callable[[Any], None]] = {}
        super().__init__(*arguments, **named)

    def add_on_confirm_callback(self, channel_number: int, on_confirm: Callable[[Any], None]) -> None:
        """Call `on_confirm` with each confirm on a channel. pika does too, but searches for the callback each time."""
        self._on_confirm[channel_number] = on_confirm

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

    def _process_callbacks(self, frame_value: Any) -> bool:
        """Whether a callback consumed this frame. pika's lookup by name is too slow for the most frequent frames."""
        kind = type(getattr(frame_value, "method", None))
        if kind is Basic.Deliver:
            return False
        if kind in (Basic.Ack, Basic.Nack) and (on_confirm := self._on_confirm.get(frame_value.channel_number)):
            on_confirm(frame_value)
            return True
        return bool(super()._process_callbacks(frame_value))

    def _adapter_emit_data(self, data: bytes) -> None:
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
