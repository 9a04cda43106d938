"""Calls: requests that have been read and found valid, in a worker's hands."""

import hashlib
import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from bus.contract.events import Event
from bus.contract.operations import Operation
from bus.contract.redaction import encode_without_secrets
from bus.messaging.trace_context import Trace


class HandlerTiming(msgspec.Struct):
    """The last try of a handler with one call. Times are time.monotonic(); `shared_by` calls it took them together,
    and none while no handler has had this call."""

    begun: float = 0.0
    ended: float = 0.0
    shared_by: int = 0

    @property
    def seconds(self) -> float | None:
        """This call's part of the handler's time; None when no handler has had it."""
        return (self.ended - self.begun) / self.shared_by if self.shared_by else None

    def forget(self) -> None:
        """What the handler did was undone, and the answer comes from elsewhere."""
        self.shared_by = 0


class timed:  # noqa: N801  # used as `with measuring(…)`, and cheaper than a generator
    """Note in these efforts how long the block takes, however it ends."""

    def __init__(self, timings: Sequence[HandlerTiming]) -> None:
        self._timings = timings
        self._begun = time.monotonic()

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        ended, shared_by = time.monotonic(), len(self._timings)
        for timing in self._timings:
            timing.begun, timing.ended, timing.shared_by = self._begun, ended, shared_by


ANONYMOUS = "anonymous"
# No caller has a name with a space in it.
EVENTS = "an event"


class Call(msgspec.Struct, frozen=True):
    """A valid request and who sent it. Calls without a message id are not protected from repetition.

    An event that came to a listener is one too; its caller is `EVENTS`. `until` is when the caller stops to
    wait (time.monotonic()). `trace` is the worker's hop; its handler notes its `timing`.
    """

    operation: type[Operation[Any]] | type[Event]
    request: Operation[Any] | Event
    message_id: str | None
    caller: str = ANONYMOUS
    until: float = math.inf
    trace: Trace | None = None
    timing: HandlerTiming = msgspec.field(default_factory=HandlerTiming)

    @property
    def digest(self) -> bytes:
        """What tells another request under the same id; secrets are no part of it, as it is stored."""
        content = encode_without_secrets(self.request)
        return hashlib.sha256(self.operation.operation_name.encode() + b"\0" + content).digest()
