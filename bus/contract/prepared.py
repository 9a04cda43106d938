"""Prepared classes: looked at by msgspec once, in one thread, before many use them.

msgspec (0.22) looks at a class when it is first decoded. Two threads that do so at the same moment can end
the process with a segmentation fault.
"""

import contextlib
import threading
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_lock = threading.Lock()
_prepared: set[type[msgspec.Struct]] = set()


def prepare(declared: type[msgspec.Struct]) -> None:
    """Return when a class can be decoded by any thread. Costs nothing but the first time."""
    if declared in _prepared:
        return
    with _lock:
        with contextlib.suppress(msgspec.ValidationError):  # without its fields it is none, but it has been looked at
            msgspec.convert({}, declared)
        _prepared.add(declared)


def read_json(body: bytes, declared: type[S]) -> S:
    """Decode JSON of ours. Raises msgspec.DecodeError."""
    prepare(declared)
    return msgspec.json.decode(body, type=declared)
