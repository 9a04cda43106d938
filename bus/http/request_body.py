"""The body of a message, made from an HTTP request: its body, its query string and its path."""

import threading
from collections.abc import Mapping
from typing import Any

from flask import Request

from bus.contract.codec import encode, parse
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid, Unavailable
from bus.contract.text_fields import from_text
from bus.contract.validation import accept
from bus.messaging.message import check_body

MAX_BODY_BYTES = 64 * 1024
# Bodies that are read at the same time. A body that does not come occupies its thread until its connection is cut
# (`bus.runtime.silent_connections`), so such bodies get no more threads than this.
MAX_BODIES = 24
# Ordinary bodies make room within a millisecond, so a burst of them waits rather than being refused. A client that is
# refused unread may see a lost connection instead of the answer: the server closes while the body is still being sent.
ROOM_SECONDS = 0.1


def body_of(
    request: Request, operation: type[Operation[Any]], fields: Mapping[str, object], room: threading.Semaphore
) -> bytes:
    """The message body; the client's own bytes where nothing was added to them.

    `room` has a place for each body that may be read at the same time. Raises Invalid and Unavailable.
    """
    route = operation.http
    if request.method in ("GET", "HEAD", "DELETE") if route is None else not route.has_body:
        given = from_text(_query_arguments(request), operation)
        return encode(accept(_merged(given, fields), operation))
    kind, encoding, length = request.content_type, request.headers.get("Content-Encoding"), request.content_length
    if route is not None and not route.needs_body and not length and "Transfer-Encoding" not in request.headers:
        return encode(accept(dict(fields), operation))
    check_body(kind or "none", encoding, length or 0, MAX_BODY_BYTES)
    body = _read(request, length, room)
    check_body(kind, encoding, len(body), MAX_BODY_BYTES)
    if not fields:
        accept(parse(body), operation)
        return body
    return encode(accept(_merged(parse(body), fields), operation))


def _read(request: Request, declared: int | None, room: threading.Semaphore) -> bytes:
    """All of it, or one byte more than is allowed where its length was not declared."""
    if not room.acquire(timeout=ROOM_SECONDS):
        raise Unavailable("too-many-in-flight", f"{MAX_BODIES} bodies are on their way here already.")
    try:
        body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1 if declared is None else declared)
    finally:
        room.release()
    if declared is not None and len(body) < declared:
        raise Invalid("malformed-json", 400, "Malformed JSON", "The body is shorter than its Content-Length.")
    return body


def _merged(given: dict[str, Any], fields: Mapping[str, object]) -> dict[str, Any]:
    """The given fields and those of the path, which must not be given in the body or query string too."""
    if doubled := sorted(given.keys() & fields.keys()):
        faults = [
            FieldError(f"/{name}", "The path has this field; leave it out here.", "unknown-field") for name in doubled
        ]
        raise Invalid("unknown-field", 422, "Invalid request", "The path has this field; leave it out here.", faults)
    return {**given, **fields}


def _query_arguments(request: Request) -> dict[str, str]:
    arguments = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Invalid("duplicate-key", 400, "Duplicate key", f"{name[:64]} is given more than once.")
        arguments[name] = values[0]
    return arguments
