"""Deadlines: what each thread is handling, for which trace, since when, and until when its caller waits."""

import math
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

from bus.messaging.trace_context import Trace


class HandlerContext(NamedTuple):
    """A handler at work. Times are time.monotonic(). `trace` is what it works for, where that is one thing."""

    operation: str
    since: float
    until: float
    trace: Trace | None


_handling: dict[int, HandlerContext] = {}


class current_handler:  # noqa: N801  # used as `with handling(…)`, and cheaper than a generator
    """Note that this thread handles an operation, whose caller waits `until` then, while the block lasts."""

    def __init__(self, operation: str, until: float = math.inf, trace: Trace | None = None) -> None:
        self._noted = HandlerContext(operation, time.monotonic(), until, trace)

    def __enter__(self) -> None:
        _handling[threading.get_ident()] = self._noted

    def __exit__(self, *_: object) -> None:
        del _handling[threading.get_ident()]


def seconds_left(most: float) -> float:
    """At most so many seconds, and no more than the caller of the handler in this thread still waits.

    So a call made inside a handler inherits what is left.
    """
    current = _handling.get(threading.get_ident())
    return most if current is None else max(0.0, min(most, current.until - time.monotonic()))


def current_trace() -> Trace | None:
    """What the handler in this thread works for; None outside of a handler, and in one that works for many."""
    current = _handling.get(threading.get_ident())
    return None if current is None else current.trace


def longest_running(threads: Iterable[int | None]) -> HandlerContext | None:
    """What has been handled for the longest time in these threads; None when nothing is."""
    found = [_handling[thread] for thread in threads if thread in _handling]
    return min(found, key=lambda each: each.since, default=None)
