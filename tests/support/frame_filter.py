"""Drops some of the AMQP methods that a broker sends, and lets all others through."""

import struct
import threading
from collections.abc import Callable

# AMQP 0-9-1, sections 2.3.5 and 2.3.5.1: a frame is type, channel, size, payload and an end octet.
_HEAD = struct.Struct(">BHI")
_METHOD = 1
BASIC_CANCEL, BASIC_DELIVER = (60, 30), (60, 60)


class FrameFilter:
    """While `active` is set, drops these methods and the content that belongs to them; `dropped` counts them."""

    def __init__(self, *methods: tuple[int, int]) -> None:
        self.methods = methods
        self.active = threading.Event()
        self.dropped = 0

    def for_connection(self) -> Callable[[bytes], bytes]:
        """A function for one connection: takes the bytes received, and returns those to pass on."""
        return _ConnectionFilter(self).feed


class _ConnectionFilter:
    def __init__(self, frame_filter: FrameFilter) -> None:
        self._filter = frame_filter
        self._rest = b""
        self._drops: dict[int, bool] = {}

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        passed = b""
        while len(self._rest) >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(self._rest)
            end = _HEAD.size + size + 1
            if len(self._rest) < end:
                break
            frame, self._rest = self._rest[:end], self._rest[end:]
            if not self._is_dropped(kind, channel, frame):
                passed += frame
        return passed

    def _is_dropped(self, kind: int, channel: int, frame: bytes) -> bool:
        """Content follows its method on the same channel."""
        if kind == _METHOD:
            method = struct.unpack_from(">HH", frame, _HEAD.size)
            drops = self._filter.active.is_set() and method in self._filter.methods
            self._filter.dropped += drops
            self._drops[channel] = drops
        return self._drops.get(channel, False)
