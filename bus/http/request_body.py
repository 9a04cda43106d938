"""The body of a message, made of what an HTTP request says: its body, its query string and its path."""

from collections.abc import Mapping
from typing import Any

from flask import Request

from bus.contract.codec import encode, parse
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid, Unavailable
from bus.contract.text_fields import from_text
from bus.contract.validation import accept
from bus.http.context import room_for_bodies
from bus.messaging.checks import check_body

MAX_BODY_BYTES = 64 * 1024
# Bodies that are read at the same time. A body that does not come holds its thread until its connection is cut
# (`bus.silent_connections`). So such bodies get no more threads than this.
MAX_BODIES = 24
# Honest bodies make room within a millisecond, so a burst of them waits rather than is refused. Whoever is refused
# unread may see a lost connection in the place of the answer: the server closes while the body is still being sent.
ROOM_SECONDS = 0.1


def body_of(request: Request, operation: type[Operation[Any]], fields: Mapping[str, object]) -> bytes:
    """The message body; the client's own bytes where nothing was added to them. Raises Invalid and Unavailable."""
    if request.method in ("GET", "HEAD", "DELETE"):
        given = from_text(_query_arguments(request), operation)
        return encode(accept(_merged(given, fields), operation))
    kind, encoding, length = request.content_type, request.headers.get("Content-Encoding"), request.content_length
    check_body(kind or "none", encoding, length or 0, MAX_BODY_BYTES)
    body = _read(request, length)
    check_body(kind, encoding, len(body), MAX_BODY_BYTES)
    valid = accept(_merged(parse(body), fields), operation)
    return encode(valid) if fields else body


def _read(request: Request, declared: int | None) -> bytes:
    """All of it, or a little more than is allowed where its length was not declared."""
    room = room_for_bodies()
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
    """What the caller gave and what the path says; the path's names are not the caller's to give."""
    if doubled := sorted(given.keys() & fields.keys()):
        faults = [FieldError(f"/{name}", "The path says this.", "unknown-field") for name in doubled]
        raise Invalid("unknown-field", 422, "Not acceptable", "The path says this.", faults)
    return {**given, **fields}


def _query_arguments(request: Request) -> dict[str, str]:
    arguments = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Invalid("duplicate-key", 400, "Duplicate key", f"{name[:64]} is given more than once.")
        arguments[name] = values[0]
    return arguments
