"""The body of a message, made from an HTTP request: its body, its query string and its path."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Request
from flask import request as request_proxy

from bus.contract.codec import encode, parse
from bus.contract.operations import Operation
from bus.contract.pages import Q, fields_of_file
from bus.contract.problems import FieldError, Invalid, Problem, ProblemError
from bus.contract.text_fields import from_text
from bus.contract.validation import accept
from bus.messaging.message import JSON, MERGE_PATCH, check_body

MAX_BODY_BYTES = 64 * 1024
NOTHING_THERE = Problem.of("not-found", 404, "Not Found", "There is nothing at this path.")


def body_of(request: Request, operation: type[Operation[Any]], fields: Mapping[str, object]) -> bytes:
    """The message body; the client's own bytes where nothing was added to them. Raises Invalid."""
    route = operation.http
    if request.method in ("GET", "HEAD", "DELETE") if route is None else not route.has_body:
        known = operation.__struct_encode_fields__
        given = from_text(_query_arguments(request, known), operation) if request.query_string else {}
        return _accepted(_merged(given, fields), operation, fields)
    kind, encoding, length = request.content_type, request.headers.get("Content-Encoding"), request.content_length
    if route is not None and not route.needs_body and not length and "Transfer-Encoding" not in request.headers:
        return _accepted(dict(fields), operation, fields)
    if kind is not None and request.method == "PATCH" and _is_merge_patch(kind):
        kind = JSON
    check_body(kind or "none", encoding, length or 0, MAX_BODY_BYTES)
    body: bytes = request.environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
    if length is not None and len(body) < length:
        raise Invalid("malformed-json", 400, "Malformed JSON", "The body is shorter than its Content-Length.")
    check_body(kind, encoding, len(body), MAX_BODY_BYTES)
    if not fields:
        accept(parse(body), operation)
        return body
    return _accepted(_merged(parse(body), fields), operation, fields)


def list_query(operation: type[Q]) -> Q:
    """The query that the arguments of the current request are, for a view that answers with one of its `files`.

    A file has no pages, so `limit` and `cursor` are unknown. Raises Invalid.
    """
    arguments = _query_arguments(request_proxy, fields_of_file(operation))
    return accept(from_text(arguments, operation), operation)


def _accepted(given: dict[str, Any], operation: type[Operation[Any]], path: Mapping[str, object]) -> bytes:
    """The body of these valid fields, some of which the path has. Raises Invalid, and ProblemError (404).

    A number in the path that is out of its range is the id of nothing. A version in a header is not such a number.
    """
    try:
        return encode(accept(given, operation))
    except Invalid as invalid:
        beyond = {error.pointer[1:] for error in invalid.problem.errors if error.code == "out-of-range"}
        if any(type(path.get(name)) is int for name in beyond - {operation.if_match}):
            raise ProblemError(NOTHING_THERE) from None
        raise


def _is_merge_patch(content_type: str) -> bool:
    """RFC 7396, whose documents are JSON: what a null means is decided by the field, as in every body."""
    return content_type.partition(";")[0].strip(" \t").lower() == MERGE_PATCH


def _merged(given: dict[str, Any], fields: Mapping[str, object]) -> dict[str, Any]:
    """The given fields and those of the path and headers, which must not be given in the body or query string too."""
    if doubled := sorted(given.keys() & fields.keys()):
        detail = "The path or a header has this field; leave it out here."
        faults = [FieldError(f"/{name}", detail, "unknown-field") for name in doubled]
        raise Invalid("unknown-field", 422, "Invalid request", detail, faults)
    return {**given, **fields}


def _query_arguments(request: Request, known: Sequence[str]) -> dict[str, str]:
    """Raises Invalid (400) for an argument that is given twice, or that is not known."""
    arguments = {}
    for name, values in request.args.lists():
        if name not in known:
            detail = f"The argument {name[:64]!a} is unknown. Known are: {', '.join(known) or 'none'}."
            raise Invalid("unknown-argument", 400, "Unknown argument", detail)
        if len(values) > 1:
            raise Invalid("duplicate-key", 400, "Duplicate key", f"{name[:64]} is given more than once.")
        arguments[name] = values[0]
    return arguments
