"""Relaying: one HTTP request, answered by one operation, and replies as HTTP has them."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from uuid import uuid4

import msgspec
from flask import Request, Response, current_app
from flask import request as request_proxy
from werkzeug.exceptions import HTTPException

from bus.client.client import ANSWER_SECONDS
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation
from bus.contract.problems import Problem, ReplyTimeout
from bus.http.conditional import make_cacheable, version_field
from bus.http.context import EXTENSION, FrontEnd
from bus.http.preferences import preferences_of
from bus.http.prefix import add_prefix
from bus.http.request_body import body_of
from bus.http.telemetry import REQUEST_RECORD, RequestRecord
from bus.messaging.message import JSON, Message, check_message_id
from bus.messaging.replies import ACCEPTED, EncodedReply, status_of


def relay(operation: type[Operation[Any]], **fields: object) -> Response:
    """Answer the current HTTP request by an operation, with the fields of its body or query string, and `fields`.

    Raises ProblemError, which the application turns into a problem document.
    """
    # The object itself: each access through Flask's proxy costs as much as what it looks for.
    request: Request = request_proxy._get_current_object()  # type: ignore[attr-defined]  # typed as what it stands for
    front_end: FrontEnd = current_app.extensions[EXTENSION]
    record: RequestRecord = request.environ[REQUEST_RECORD]
    record.operation = operation.operation_name
    if operation.if_match and "HTTP_IF_MATCH" in request.environ:
        fields |= version_field(operation, request.environ["HTTP_IF_MATCH"])
    body = body_of(request, operation, fields)
    key, prefer, wait = request.headers.get("Idempotency-Key"), request.headers.get("Prefer"), ANSWER_SECONDS
    if key is not None:
        check_message_id(key)
    if prefer is not None:
        wait = preferences_of(prefer).wait(ANSWER_SECONDS, is_durable=operation.is_durable)
    elif operation.is_durable and front_end.client.is_hopeless(operation):
        wait = 0.0
    is_read = operation.authentication != "none" and "HTTP_AUTHORIZATION" in request.environ
    token = _token(request, front_end) if is_read else None
    # A key that is sent again while its first request is in progress is refused, and waits for nothing.
    is_alone = front_end.in_progress.only_one(key) if key is not None and operation.is_durable else nullcontext()
    with is_alone:
        record.message_id = key or uuid4().hex
        response = _exchange(front_end, operation, body, record, wait, token, request.environ.get("REMOTE_ADDR", ""))
    if response.status_code == 429 and "Retry-After" in response.headers:
        # draft-ietf-httpapi-ratelimit-headers-10, section 4: nothing is left until then.
        response.headers["RateLimit"] = f'"{operation.operation_name}";r=0;t={response.headers["Retry-After"]}'
    if prefix := request.environ["SCRIPT_NAME"]:
        add_prefix(response, prefix)
    if holds_secrets(operation.reply_type):
        response.headers["Cache-Control"] = "no-store"
    elif operation.operation_kind == "query" and response.status_code == 200:
        make_cacheable(response, request)  # the tag is that of the body with its prefix
    accepted = response.status_code == ACCEPTED
    if prefer is not None and (applied := preferences_of(prefer).applied_to(accepted=accepted)):
        response.headers["Preference-Applied"] = applied
    return response


def _exchange(
    front_end: FrontEnd,
    operation: type[Operation[Any]],
    body: bytes,
    record: RequestRecord,
    wait: float,
    token: str | None,
    address: str,
) -> Response:
    """The answer within `wait` seconds, or that it is late: for a command, that it is accepted."""
    timeout, message_id = max(ANSWER_SECONDS, wait), record.message_id
    try:
        return relayed(
            front_end.client.exchange(
                operation,
                body,
                timeout=timeout,
                wait=wait,
                message_id=message_id,
                token=token,
                trace=record.trace,
                client_address=address,
            )
        )
    except ReplyTimeout as late:
        is_kept = operation.is_durable
        return respond(
            EncodedReply.accepted(message_id) if is_kept else EncodedReply.problem(late.problem, record.trace)
        )


_RELAYED_HEADERS = (
    ("etag", "ETag"),
    ("link", "Link"),
    ("location", "Location"),
    ("retry-after", "Retry-After"),
    ("www-authenticate", "WWW-Authenticate"),
)


def _token(request: Request, front_end: FrontEnd) -> str | None:
    """The bearer token of a request (RFC 6750, section 2.1); None without one, or where the service reads none."""
    scheme, _, token = request.headers["Authorization"].partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" and front_end.reads_tokens else None


def relayed(reply: Message) -> Response:
    """The reply as it came: its body is the body, its status the status."""
    response = Response(reply.body, status_of(reply), content_type=reply.content_type or JSON)
    if not reply.body:
        del response.headers["Content-Type"]
    for name, header in _RELAYED_HEADERS:
        if name in reply.headers:
            response.headers[header] = str(reply.headers[name])
    return response


def respond(answer: EncodedReply) -> Response:
    """An answer of the front end's own."""
    reply = answer.to(Message(queue="", body=b"", reply_to="http"))
    response = relayed(reply) if reply else Response(status=answer.status)
    response.autocorrect_location_header = False
    return response


def json_response(status: int, content: Mapping[str, object]) -> Response:
    """A JSON object that no message brought."""
    return Response(msgspec.json.encode(content), status, content_type=JSON)


# Instead of Flask's own descriptions, which speak of typing a URL.
_HTTP_ERRORS = {
    404: "There is nothing at this path.",
    405: "This path does not have this method. The header Allow lists those that it has.",
    500: "The front end failed. Give the trace id to its operator.",
}


def http_error(error: HTTPException) -> Response:
    """Flask's own errors (404, 405, 413 …), with the headers they come with, `Allow` among them."""
    status = error.code or 500
    code = (error.name or "error").lower().replace(" ", "-")
    record: RequestRecord = request_proxy.environ[REQUEST_RECORD]
    problem = Problem.of(code, status, error.name, _HTTP_ERRORS.get(status) or error.description or "")
    response = respond(EncodedReply.problem(problem, record.trace))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
