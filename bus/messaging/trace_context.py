"""Traces: which hop of which trace we are, after W3C Trace Context.

Sections are those of https://www.w3.org/TR/trace-context/.
"""

import re
from collections.abc import Mapping
from random import getrandbits

import msgspec

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
TRACE_HEADERS = (TRACEPARENT, TRACESTATE)

# What must be passed on is 512 characters; longer lists may be dropped (section 3.3.1.5).
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
    """One hop of a trace. `span_id` is this hop's own, `parent_id` that of the hop before; empty in the first.

    `sampled`: whoever came before may have recorded it. `state` is what other makers of tools pass along.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True
    state: str = ""

    def next_hop(self) -> "Trace":
        """The hop that comes of this one."""
        return Trace(self.trace_id, _span_id(), self.span_id, self.sampled, self.state)

    @property
    def traceparent(self) -> str:
        """What the next hop is told (section 3.2)."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def headers(self) -> dict[str, str]:
        """What a message carries, or a request over HTTP."""
        if not self.state:
            return {TRACEPARENT: self.traceparent}
        return {TRACEPARENT: self.traceparent, TRACESTATE: self.state}


def begin() -> Trace:
    """The first hop of a new trace. It counts as recorded, for the log names it."""
    return Trace(f"{getrandbits(128) or 1:032x}", _span_id())


def continued(headers: Mapping[str, object]) -> Trace:
    """Our hop in the trace that these headers name; of a new trace where they name none, or not by the rules."""
    before = read(headers.get(TRACEPARENT), headers.get(TRACESTATE))
    return begin() if before is None else before.next_hop()


def read(traceparent: object, tracestate: object = None) -> Trace | None:
    """The hop that a header tells of; None for one that breaks the rules (sections 3.2 and 3.3)."""
    if not isinstance(traceparent, str) or (found := _PARENT.fullmatch(traceparent)) is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if more and version == "00":
        return None
    return Trace(
        trace_id, span_id, sampled=bool(int(flags, 16) & _SAMPLED), state=_state(tracestate) if tracestate else ""
    )


def _state(tracestate: object) -> str:
    """The list of other makers' members as it came; empty when it breaks a rule (section 3.3.1)."""
    if not isinstance(tracestate, str) or not tracestate or len(tracestate) > MAX_STATE:
        return ""
    found = [_MEMBER.fullmatch(member) for each in tracestate.split(",") if (member := each.strip(" \t"))]
    keys = {member[1] for member in found if member is not None}
    return tracestate if len(keys) == len(found) <= MAX_MEMBERS else ""


def _span_id() -> str:
    return f"{getrandbits(64) or 1:016x}"
