"""Calls: requests that have been read and found valid, in a worker's hands."""

import hashlib
import math
from typing import Any

import msgspec

from bus.contract.codec import encode_without_secrets
from bus.contract.events import Event
from bus.contract.operations import Operation
from bus.messaging.effort import Effort
from bus.messaging.trace_context import Trace

ANONYMOUS = "anonymous"
# No caller has a name with a space in it.
EVENTS = "an event"


class Call(msgspec.Struct, frozen=True):
    """A valid request and who sent it. Calls without a message id are not protected from repetition.

    An event that came to a listener is one too; its caller is `EVENTS`. `until` is when the caller stops to
    wait (time.monotonic()). `trace` is the worker's hop; its handler notes its `effort`.
    """

    operation: type[Operation[Any]] | type[Event]
    request: Operation[Any] | Event
    message_id: str | None
    caller: str = ANONYMOUS
    until: float = math.inf
    trace: Trace | None = None
    effort: Effort = msgspec.field(default_factory=Effort)

    @property
    def digest(self) -> bytes:
        """What tells another request under the same id; secrets are no part of it, as it is stored."""
        content = encode_without_secrets(self.request)
        return hashlib.sha256(self.operation.operation_name.encode() + b"\0" + content).digest()
