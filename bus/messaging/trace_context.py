"""Trace context: the trace and the hop that headers name, by W3C Trace Context.

Sections are those of https://www.w3.org/TR/trace-context/.
"""

import re
from collections.abc import Mapping
from random import getrandbits

import msgspec

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
TRACE_HEADERS = (TRACEPARENT, TRACESTATE)

# Lists up to 512 characters should be passed on; longer ones may be dropped (section 3.3.1.5).
MAX_STATE = 512
MAX_MEMBERS = 32

_SAMPLED = 1
_PARENT = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<span_id>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?",
)
_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_VALUE = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER = re.compile(rf"({_KEY})={_VALUE}")


class Trace(msgspec.Struct, frozen=True):
    """One hop of a trace. `parent_id` is the `span_id` of the hop before; empty in the first hop.

    `sampled`: the hop before may have recorded the trace. `state` is the `tracestate` that tracing systems pass along.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True
    state: str = ""

    def next_hop(self) -> "Trace":
        """A new hop after this one."""
        return Trace(self.trace_id, f"{getrandbits(64) or 1:016x}", self.span_id, self.sampled, self.state)

    @property
    def traceparent(self) -> str:
        """The header for the next hop (section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers for a message or an HTTP request."""
        if not self.state:
            return {TRACEPARENT: self.traceparent}
        return {TRACEPARENT: self.traceparent, TRACESTATE: self.state}


def begin() -> Trace:
    """The first hop of a new trace. It is sampled, because the log names it."""
    return Trace(f"{getrandbits(128) or 1:032x}", f"{getrandbits(64) or 1:016x}")


def continued(headers: Mapping[str, object]) -> Trace:
    """A new hop in the trace that these headers name; in a new trace if they are missing or malformed."""
    before = read(headers.get(TRACEPARENT), headers.get(TRACESTATE))
    return begin() if before is None else before.next_hop()


def read(traceparent: object, tracestate: object = None) -> Trace | None:
    """The hop that sent these headers; None if `traceparent` is missing or malformed (sections 3.2 and 3.3)."""
    if not isinstance(traceparent, str) or (found := _PARENT.fullmatch(traceparent)) is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more and version == "00":
        return None
    return Trace(
        trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED), state=_state(tracestate) if tracestate else ""
    )


def _state(tracestate: object) -> str:
    """The `tracestate` list unchanged; empty if it is malformed (section 3.3.1)."""
    if not isinstance(tracestate, str) or not tracestate or len(tracestate) > MAX_STATE:
        return ""
    found = [_MEMBER.fullmatch(member) for each in tracestate.split(",") if (member := each.strip(" \t"))]
    keys = {member[1] for member in found if member is not None}
    return tracestate if len(keys) == len(found) <= MAX_MEMBERS else ""
