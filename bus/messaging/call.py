"""Calls: valid requests that a worker carries out, and what the thread of a handler knows of them.

A call made inside a handler inherits the deadline and the trace of the call that is handled.
"""

import hashlib
import math
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from bus.contract.codec import encode
from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation
from bus.contract.redaction import encode_without_secrets
from bus.messaging.trace_context import Trace

ANONYMOUS = "anonymous"

Kind = Literal["request", "event"]


class HandlerTiming(msgspec.Struct):
    """When the last try of a handler with a call began and ended (time.monotonic()).

    A handler may take several calls together: `shared_by` is their number, and 0 before any handler has run.
    """

    begun: float = 0.0
    ended: float = 0.0
    shared_by: int = 0

    @property
    def seconds(self) -> float | None:
        """This call's share of the handler's time; None before any handler has run."""
        return (self.ended - self.begun) / self.shared_by if self.shared_by else None

    def forget(self) -> None:
        """The handler's work was rolled back, and the answer comes from the inbox."""
        self.shared_by = 0


class Call(msgspec.Struct, frozen=True):
    """A valid request and its caller, or (`kind`) an event for a listener.

    Calls without a message id are not protected from repetition. `until` is when the caller stops waiting
    (time.monotonic()), `trace` the worker's hop, `timing` is filled in while the handler runs.
    """

    operation: type[Operation[Any]] | type[Event]
    request: Operation[Any] | Event
    message_id: str | None
    caller: str = ANONYMOUS
    kind: Kind = "request"
    until: float = math.inf
    trace: Trace | None = None
    timing: HandlerTiming = msgspec.field(default_factory=HandlerTiming)

    @property
    def digest(self) -> bytes:
        """A hash that differs for another request under the same id. It is stored, so secrets are left out."""
        content = (encode_without_secrets if holds_secrets(type(self.request)) else encode)(self.request)
        return hashlib.sha256(self.operation.operation_name.encode() + b"\0" + content).digest()


class HandlerContext(NamedTuple):
    """A running handler. Times are time.monotonic(). `trace` is None while it works for several callers."""

    operation: str
    since: float
    until: float
    trace: Trace | None


_running: dict[int, HandlerContext] = {}


class current_handler:  # noqa: N801  # used as `with current_handler(calls)`, and cheaper than a generator
    """While the block lasts, this thread handles these calls of one operation. Fills in their timings at the end."""

    def __init__(self, calls: Sequence[Call]) -> None:
        first, self._calls = calls[0], calls
        until, trace = (first.until, first.trace) if len(calls) == 1 else (min(call.until for call in calls), None)
        self._context = HandlerContext(first.operation.operation_name, time.monotonic(), until, trace)

    def __enter__(self) -> None:
        _running[threading.get_ident()] = self._context

    def __exit__(self, *_: object) -> None:
        del _running[threading.get_ident()]
        ended, shared_by = time.monotonic(), len(self._calls)
        for call in self._calls:
            call.timing.begun, call.timing.ended, call.timing.shared_by = self._context.since, ended, shared_by


def seconds_left(most: float) -> float:
    """`most` seconds, or what is left of the time of this thread's caller, if that is less."""
    current = _running.get(threading.get_ident())
    return most if current is None else max(0.0, min(most, current.until - time.monotonic()))


def current_trace() -> Trace | None:
    """The trace that this thread's handler works for; None outside of a handler, and for several callers."""
    current = _running.get(threading.get_ident())
    return None if current is None else current.trace


def longest_running(threads: Iterable[int | None]) -> HandlerContext | None:
    """The handler that has run for the longest time in these threads; None when none runs."""
    found = [_running[thread] for thread in threads if thread in _running]
    return min(found, key=lambda each: each.since, default=None)
