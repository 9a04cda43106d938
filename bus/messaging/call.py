"""Calls: valid requests that a worker carries out, and the deadline and trace that a handler's own calls inherit."""

import hashlib
import math
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import uuid4
from zlib import crc32

import msgspec

from bus.contract.events import Event
from bus.contract.exits import no_exits
from bus.contract.fields import holds_secrets
from bus.contract.identity import ANONYMOUS, Caller
from bus.contract.operations import Operation
from bus.contract.redaction import without_secrets
from bus.messaging.trace_context import Trace

# The header that counts how many handlers, each of which called the next, stand before a request; their bound, and the
# code of the refusal of what is deeper.
CALL_DEPTH, MAX_CALL_DEPTH, TOO_DEEP = "call-depth", 8, "call-too-deep"

Kind = Literal["request", "event"]

# Stands in the place of a caller for events. No caller's name has a space in it.
EVENTS = "an event"
# Of an id of 32, the rest of which is random.
ORIGIN_CHARACTERS = 16

# Of a digest: SHA-256 of the whole, then CRC-32 of the operation's name and of each field.
_HASH_BYTES, _CHECKSUM_BYTES = 32, 4


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
    (time.monotonic()), `trace` the worker's hop in the trace; `current_handler` fills in `timing`. `attempt` counts the
    tries, from 1. `authorization` is the header that names the caller, `depth` the one that counts nested calls,
    `client_address` the one that says which HTTP client a front end relays. `came_back`: a worker was lost that had it,
    and that may have answered it.
    """

    operation: type[Operation[Any]] | type[Event]
    request: Operation[Any] | Event
    message_id: str | None
    caller: Caller = ANONYMOUS
    kind: Kind = "request"
    until: float = math.inf
    trace: Trace | None = None
    timing: HandlerTiming = msgspec.field(default_factory=HandlerTiming)
    attempt: int = 1
    authorization: str = ""
    depth: int = 0
    client_address: str = ""
    came_back: bool = False

    def derived_id(self, operation: type[Operation[Any]], number: int) -> str:
        """The message id of the call of another service that is the handler's `number`th.

        Every try of this call gives the same one; a call without an id of its own gives a new one each time.
        """
        if self.message_id is None:
            return uuid4().hex
        names = (self.kind, self.operation.operation_name, self.caller.id, self.message_id, operation.operation_name)
        return hashlib.sha256("\0".join((*names, str(number))).encode()).hexdigest()[:32]

    @property
    def digest(self) -> bytes:
        """A hash that tells two requests with the same id apart, then checksums that say where they differ.

        It is stored, so secrets are left out. 9.90 and 9.9 are the same amount, and so the same request.
        """
        request: Any = without_secrets(self.request) if holds_secrets(type(self.request)) else self.request
        name = self.operation.operation_name.encode()
        fields = msgspec.to_builtins(request, builtin_types=(Decimal,))
        fields = {
            field: each.normalize() if type(each) is Decimal
            else _normalised(each) if type(each) in (dict, list)
            else each
            for field, each in fields.items()
        }  # fmt: skip
        values = (fields.get(field, msgspec.UNSET) for field in request.__struct_encode_fields__)
        parts = [name, *(b"" if value is msgspec.UNSET else msgspec.json.encode(value) for value in values)]
        whole = hashlib.sha256(name + b"\0" + msgspec.json.encode(fields)).digest()
        return whole + b"".join([crc32(part).to_bytes(_CHECKSUM_BYTES) for part in parts])

    def is_like(self, digest: bytes) -> bool:
        """Whether a stored digest is one of an equal request."""
        return self.digest[:_HASH_BYTES] == digest[:_HASH_BYTES]

    def differences(self, digest: bytes) -> list[str]:
        """The fields that differ from those of a request with this digest; empty for one of another operation."""
        ours, theirs = _checksums(self.digest), _checksums(digest)
        if len(ours) != len(theirs) or ours[0] != theirs[0]:
            return []
        names = self.request.__struct_encode_fields__
        return [name for name, one, other in zip(names, ours[1:], theirs[1:], strict=True) if one != other]


def origin_of(caller: str, operation: str, message_id: str) -> str:
    """The beginning of the ids of all that a call has emitted and sent, in hexadecimal digits.

    So the two are found by each other, though nothing more is stored. The caller of an event is anonymous.
    """
    return hashlib.sha256("\0".join((caller, operation, message_id)).encode()).hexdigest()[:ORIGIN_CHARACTERS]


def _checksums(digest: bytes) -> list[bytes]:
    starts = range(_HASH_BYTES, len(digest), _CHECKSUM_BYTES)
    return [digest[start : start + _CHECKSUM_BYTES] for start in starts]


def _normalised(value: Any) -> Any:
    """What a list or an object has inside."""
    if type(value) is dict:
        return {name: _normalised(each) for name, each in value.items()}
    if type(value) is list:
        return [_normalised(each) for each in value]
    return value.normalize() if type(value) is Decimal else value


class HandlerContext(NamedTuple):
    """A running handler. `since` and `until` are time.monotonic(); `trace` is None for a batch of several calls.

    `depth` is that of its deepest call.
    """

    operation: str
    since: float
    until: float
    trace: Trace | None
    depth: int = 0


# By their threads; empty in a process without handlers.
running_handlers: dict[int, HandlerContext] = {}


@contextmanager
def current_handler(calls: Sequence[Call]) -> Iterator[None]:
    """Marks this thread as the handler of these calls of one operation for the block, and times them.

    Raises Exited for what would end the thread.
    """
    first, thread = calls[0], threading.get_ident()
    until, trace, depth = first.until, first.trace, first.depth
    if len(calls) > 1:
        until, trace, depth = min(call.until for call in calls), None, max(call.depth for call in calls)
    begun = time.monotonic()
    running_handlers[thread] = HandlerContext(first.operation.operation_name, begun, until, trace, depth)
    try:
        with no_exits():
            yield
    finally:
        del running_handlers[thread]
        ended = time.monotonic()
        for call in calls:
            call.timing.begun, call.timing.ended, call.timing.shared_by = begun, ended, len(calls)


@contextmanager
def current_task(name: str) -> Iterator[None]:
    """Marks this thread as the handler of a periodic task for the block. Raises Exited, as `current_handler` does."""
    running_handlers[threading.get_ident()] = HandlerContext(name, time.monotonic(), math.inf, None)
    try:
        with no_exits():
            yield
    finally:
        del running_handlers[threading.get_ident()]


def seconds_left(most: float) -> float:
    """At most `most` seconds; less if the caller that this thread's handler works for stops waiting before."""
    current = running_handlers.get(threading.get_ident())
    return most if current is None else max(0.0, min(most, current.until - time.monotonic()))


def current_trace() -> Trace | None:
    """The trace of the call that this thread handles; None outside of a handler, and for a batch of several calls."""
    current = running_handlers.get(threading.get_ident())
    return None if current is None else current.trace


def next_depth() -> int:
    """The depth of what this thread's handler calls; 0 outside of a handler."""
    current = running_handlers.get(threading.get_ident())
    return 0 if current is None else current.depth + 1


def longest_running(threads: Iterable[int | None]) -> HandlerContext | None:
    """The handler that has run for the longest time in these threads; None if no handler runs."""
    found = [running_handlers[thread] for thread in threads if thread in running_handlers]
    return min(found, key=lambda each: each.since, default=None)
