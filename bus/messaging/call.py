"""Calls: valid requests that a worker carries out, and the deadline and trace that a handler's own calls inherit."""

import hashlib
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from bus.contract.events import Event
from bus.contract.fields import holds_secrets
from bus.contract.identity import ANONYMOUS, Caller
from bus.contract.operations import Operation
from bus.contract.redaction import encode_without_secrets
from bus.messaging.trace_context import Trace

Kind = Literal["request", "event"]


class HandlerTiming(msgspec.Struct):
    """When a handler last started and finished a call (time.monotonic()).

    A batch handler carries out several calls together: `shared_by` is their number, and 0 before any handler has run.
    """

    begun: float = 0.0
    ended: float = 0.0
    shared_by: int = 0

    @property
    def seconds(self) -> float | None:
        """This call's share of the handler's time; None before any handler has run."""
        return (self.ended - self.begun) / self.shared_by if self.shared_by else None

    def forget(self) -> None:
        """Forget the times: the handler's work was rolled back, and the reply comes from the inbox."""
        self.shared_by = 0


class Call(msgspec.Struct, frozen=True):
    """A valid request and its caller, or (`kind`) an event for a listener.

    A call without a message id is not protected from repetition. `until` is when the caller stops waiting
    (time.monotonic()), `trace` the worker's hop in the trace; `current_handler` fills in `timing`.
    """

    operation: type[Operation[Any]] | type[Event]
    request: Operation[Any] | Event
    message_id: str | None
    caller: Caller = ANONYMOUS
    kind: Kind = "request"
    until: float = math.inf
    trace: Trace | None = None
    timing: HandlerTiming = msgspec.field(default_factory=HandlerTiming)

    @property
    def digest(self) -> bytes:
        """A hash that tells two requests with the same id apart. It is stored, so secrets are left out.

        9.90 and 9.9 are the same amount, and so the same request.
        """
        if holds_secrets(type(self.request)):
            content = encode_without_secrets(self.request)
        else:
            fields = msgspec.to_builtins(self.request, builtin_types=(Decimal,))
            content = msgspec.json.encode(
                {
                    name: each.normalize() if type(each) is Decimal
                    else _normalised(each) if type(each) in (dict, list)
                    else each
                    for name, each in fields.items()
                }
            )  # fmt: skip
        return hashlib.sha256(self.operation.operation_name.encode() + b"\0" + content).digest()


def _normalised(value: Any) -> Any:
    """What a list or an object has inside."""
    if type(value) is dict:
        return {name: _normalised(each) for name, each in value.items()}
    if type(value) is list:
        return [_normalised(each) for each in value]
    return value.normalize() if type(value) is Decimal else value


class HandlerContext(NamedTuple):
    """A running handler. `since` and `until` are time.monotonic(); `trace` is None for a batch of several calls."""

    operation: str
    since: float
    until: float
    trace: Trace | None


_running: dict[int, HandlerContext] = {}


class current_handler:  # noqa: N801  # used as `with current_handler(calls)`, and cheaper than a generator
    """Marks this thread as the handler of these calls of one operation for the block, and times them."""

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


@contextmanager
def current_task(name: str) -> Iterator[None]:
    """Marks this thread as the handler of a periodic task for the block."""
    _running[threading.get_ident()] = HandlerContext(name, time.monotonic(), math.inf, None)
    try:
        yield
    finally:
        del _running[threading.get_ident()]


def seconds_left(most: float) -> float:
    """At most `most` seconds; less if the caller that this thread's handler works for stops waiting before."""
    current = _running.get(threading.get_ident())
    return most if current is None else max(0.0, min(most, current.until - time.monotonic()))


def current_trace() -> Trace | None:
    """The trace of the call that this thread handles; None outside of a handler, and for a batch of several calls."""
    current = _running.get(threading.get_ident())
    return None if current is None else current.trace


def longest_running(threads: Iterable[int | None]) -> HandlerContext | None:
    """The handler that has run for the longest time in these threads; None if no handler runs."""
    found = [_running[thread] for thread in threads if thread in _running]
    return min(found, key=lambda each: each.since, default=None)
