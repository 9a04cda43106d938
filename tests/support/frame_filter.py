"""Swallowed frames: what a broker says that never arrives, while all else does."""

import struct
import threading
from collections.abc import Callable

# AMQP 0-9-1, sections 2.3.5 and 2.3.5.1: a frame is type, channel, size, payload and an end octet.
_HEAD = struct.Struct(">BHI")
_METHOD = 1
BASIC_CANCEL, BASIC_DELIVER = (60, 30), (60, 60)


class Swallower:
    """Makes sieves that swallow some methods, with the content that belongs to them, while it is `hungry`."""

    def __init__(self, *methods: tuple[int, int]) -> None:
        self.methods = methods
        self.hungry = threading.Event()
        self.swallowed = 0

    def sieve(self) -> Callable[[bytes], bytes]:
        """One for a connection."""
        return _Sieve(self).feed


class _Sieve:
    def __init__(self, swallower: Swallower) -> None:
        self._swallower = swallower
        self._rest = b""
        self._swallowing: dict[int, bool] = {}

    def feed(self, data: bytes) -> bytes:
        self._rest += data
        passed = b""
        while len(self._rest) >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(self._rest)
            end = _HEAD.size + size + 1
            if len(self._rest) < end:
                break
            frame, self._rest = self._rest[:end], self._rest[end:]
            if not self._is_swallowed(kind, channel, frame):
                passed += frame
        return passed

    def _is_swallowed(self, kind: int, channel: int, frame: bytes) -> bool:
        """Content follows its method on the same channel."""
        if kind == _METHOD:
            method = struct.unpack_from(">HH", frame, _HEAD.size)
            swallows = self._swallower.hungry.is_set() and method in self._swallower.methods
            self._swallower.swallowed += swallows
            self._swallowing[channel] = swallows
        return self._swallowing.get(channel, False)
