"""The bounds of request headers that are parsed: one that is longer than any sensible value is not looked at."""

from collections.abc import MutableMapping
from typing import Any

# Of each of these headers. All headers together may have 96 KiB (`bus.runtime.servers`), and the time that a parser
# takes for hostile text may grow with the square of its length.
MAX_CHARACTERS = 1024

# The headers that we, Flask or werkzeug parse, by their names in a WSGI environment (PEP 3333). All of them may be
# ignored: preferences (RFC 7240, section 2), conditions that only save a transfer and ranges (RFC 9110, sections 13.1.2
# and 14.2), a trace (W3C Trace Context, section 3.3.1.5). `Content-Type` and `Idempotency-Key` may not, and are bounded
# and refused where they are read.
OPTIONAL = (
    "HTTP_ACCEPT",
    "HTTP_COOKIE",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_RANGE",
    "HTTP_PREFER",
    "HTTP_RANGE",
    "HTTP_TRACEPARENT",
    "HTTP_TRACESTATE",
)


def drop_overlong(environ: MutableMapping[str, Any]) -> None:
    """Remove each of these headers that is longer than MAX_CHARACTERS."""
    for name in OPTIONAL:
        value = environ.get(name)
        if value is not None and len(value) > MAX_CHARACTERS:
            del environ[name]
