"""pika's connection, with fewer system calls: each lets other threads run, and to go on costs more than the call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pika.adapters.select_connection import SelectConnection
from pika.adapters.utils.io_services_utils import _AsyncPlaintextTransport
from pika.exceptions import ConnectionClosedByClient
from pika.spec import Basic

# pika takes 4 KiB at a time; of much more it would copy too much, for it copies what is left after each frame.
RECEIVED_BYTES = 16 * 1024


class Connection(SelectConnection):  # type: ignore[misc]  # pika is half typed
    """Sends at once what the socket takes, and receives once each time that the socket has something.

    pika sends in another round of its loop, and receives until there is nothing. So it still does over TLS.
    """

    _held: list[bytes] | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._on_confirm: dict[int, Callable[[Any], None]] = {}
        super().__init__(*arguments, **named)

    def tell_confirms(self, channel_number: int, on_confirm: Callable[[Any], None]) -> None:
        """Give the broker's confirms on a channel to `on_confirm`, as pika does, without a search for it each time."""
        self._on_confirm[channel_number] = on_confirm

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Hold back what is sent in this block, and send it together at its end."""
        self._held = []
        try:
            yield
        finally:
            frames, self._held = self._held, None
            if frames:
                self._adapter_emit_data(b"".join(frames))

    def drop(self) -> None:
        """End the connection without AMQP's farewell, as if this process had died."""
        self._terminate_stream(ConnectionClosedByClient(200, "dropped"))

    def _proto_connection_made(self, transport: Any) -> None:
        if isinstance(transport, _AsyncPlaintextTransport):
            transport._MAX_RECV_BYTES = RECEIVED_BYTES
            transport._MAX_CONSUME_BYTES = 1  # with any byte it has had enough
        super()._proto_connection_made(transport)

    def _process_callbacks(self, frame_value: Any) -> bool:
        """Whether somebody has waited for this frame. pika asks by names, too slowly for what comes most."""
        kind = type(getattr(frame_value, "method", None))
        if kind is Basic.Deliver:
            return False
        if kind in (Basic.Ack, Basic.Nack) and (on_confirm := self._on_confirm.get(frame_value.channel_number)):
            on_confirm(frame_value)
            return True
        return bool(super()._process_callbacks(frame_value))

    def _adapter_emit_data(self, data: bytes) -> None:
        if self._held is not None:
            self._held.append(data)
        elif rest := data[self._sent_at_once(data) :]:
            super()._adapter_emit_data(rest)

    def _sent_at_once(self, data: bytes) -> int:
        """How many bytes the socket has taken. If it takes none, pika sees why when it sends them."""
        transport = self._transport
        is_plain = isinstance(transport, _AsyncPlaintextTransport)
        if is_plain and transport._state == transport._STATE_ACTIVE and not transport.get_write_buffer_size():
            with suppress(OSError):
                return int(transport._sock.send(data))
        return 0
