"""The body of a message, made from an HTTP request: its body, its query string and its path."""

from collections.abc import Mapping
from typing import Any

from flask import Request

from bus.contract.codec import encode, parse
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid
from bus.contract.text_fields import from_text
from bus.contract.validation import accept
from bus.messaging.message import check_body

MAX_BODY_BYTES = 64 * 1024


def body_of(request: Request, operation: type[Operation[Any]], fields: Mapping[str, object]) -> bytes:
    """The message body; the client's own bytes where nothing was added to them. Raises Invalid."""
    route = operation.http
    if request.method in ("GET", "HEAD", "DELETE") if route is None else not route.has_body:
        given = from_text(_query_arguments(request), operation) if request.query_string else {}
        return encode(accept(_merged(given, fields), operation))
    kind, encoding, length = request.content_type, request.headers.get("Content-Encoding"), request.content_length
    if route is not None and not route.needs_body and not length and "Transfer-Encoding" not in request.headers:
        return encode(accept(dict(fields), operation))
    check_body(kind or "none", encoding, length or 0, MAX_BODY_BYTES)
    body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    if length is not None and len(body) < length:
        raise Invalid("malformed-json", 400, "Malformed JSON", "The body is shorter than its Content-Length.")
    check_body(kind, encoding, len(body), MAX_BODY_BYTES)
    if not fields:
        accept(parse(body), operation)
        return body
    return encode(accept(_merged(parse(body), fields), operation))


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
