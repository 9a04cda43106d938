"""The HTTP side, thin: parse, call, relay. The only file that knows Flask."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any
from uuid import uuid4

import msgspec
from flask import Blueprint, Flask, Response, current_app, render_template, request
from werkzeug.exceptions import HTTPException

from bus.admission import check_body, check_message_id
from bus.answer import Answer
from bus.client import ANSWER_SECONDS, Client, status_of
from bus.codec import encode, parse
from bus.message import JSON, Message
from bus.operation import Operation, operations_in
from bus.outcome import outcome_query_of
from bus.ping import ping_of
from bus.problem import AnswerLate, FieldError, Invalid, Problem, ProblemError, Unavailable
from bus.text_fields import from_text
from bus.validation import accept

MAX_BODY_BYTES = 64 * 1024
# A readiness check that takes longer is a no.
READY_SECONDS = 1.0


def front_end(name: str, contract: ModuleType, routes: Blueprint, client: Client) -> Flask:
    """The Flask application of a service: its routes, problem documents, health, and a page that tells."""
    app = Flask("bus")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["bus"] = client
    app.register_blueprint(routes)
    app.register_error_handler(ProblemError, lambda error: _respond(Answer.problem(error.problem)))
    app.register_error_handler(HTTPException, _http_error)
    app.add_url_rule("/health/live", "live", _live)
    app.add_url_rule("/health/ready", "ready", lambda: _ready(name))
    app.add_url_rule("/operations/<path:message_id>", "operation", lambda message_id: _operation(name, message_id))
    app.add_url_rule("/", "index", lambda: _index(name, contract))
    return app


def relay(operation: type[Operation[Any]], **fields: object) -> Response:
    """Answer the HTTP request in hand by an operation: its fields are the body's or the query's, and these.

    Raises ProblemError, which the application turns into a problem document.
    """
    body = _body_of(operation, fields)
    message_id = request.headers.get("Idempotency-Key")
    if message_id is not None:
        check_message_id(message_id)
    try:
        reply = _client().exchange(operation, body, timeout=ANSWER_SECONDS, message_id=message_id or uuid4().hex)
    except AnswerLate as late:
        if not operation.is_command:
            raise
        return _respond(Answer.accepted(late.message_id))
    return _relayed(reply)


def _body_of(operation: type[Operation[Any]], fields: Mapping[str, object]) -> bytes:
    """The message body; the client's own bytes where nothing was added to them."""
    if request.method in ("GET", "HEAD", "DELETE"):
        given = from_text(_query_arguments(), operation)
        return encode(accept(_merged(given, fields), operation))
    encoding, length = request.headers.get("Content-Encoding"), request.content_length or 0
    check_body(request.content_type or "none", encoding, length, MAX_BODY_BYTES)
    body = request.get_data(cache=False)
    valid = accept(_merged(parse(body), fields), operation)
    return encode(valid) if fields else body


def _merged(given: dict[str, Any], fields: Mapping[str, object]) -> dict[str, Any]:
    """What the caller gave and what the path says; the path's names are not the caller's to give."""
    if doubled := sorted(given.keys() & fields.keys()):
        faults = [FieldError(f"/{name}", "The path says this.", "unknown-field") for name in doubled]
        raise Invalid("unknown-field", 422, "Not acceptable", "The path says this.", faults)
    return {**given, **fields}


def _query_arguments() -> dict[str, str]:
    arguments = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise Invalid("duplicate-key", 400, "Duplicate key", f"{name[:64]} is given more than once.")
        arguments[name] = values[0]
    return arguments


def _client() -> Client:
    client: Client = current_app.extensions["bus"]
    return client


def _relayed(reply: Message) -> Response:
    """The reply as it came: its body is the body, its status the status."""
    response = Response(reply.body, status_of(reply), content_type=reply.content_type or JSON)
    for name, header in (("location", "Location"), ("retry-after", "Retry-After")):
        if name in reply.headers:
            response.headers[header] = str(reply.headers[name])
    return response


def _respond(answer: Answer) -> Response:
    reply = answer.to(Message(queue="", body=b"", reply_to="http"))
    response = _relayed(reply) if reply else Response(status=answer.status)
    response.autocorrect_location_header = False
    return response


def _json(status: int, content: Mapping[str, object]) -> Response:
    return Response(msgspec.json.encode(content), status, content_type=JSON)


def _http_error(error: HTTPException) -> Response:
    """Flask's own errors (404, 405, 413 …), with the headers they come with, `Allow` among them."""
    status = error.code or 500
    code = (error.name or "error").lower().replace(" ", "-")
    answer = Answer.problem(Problem.of(code, status, error.name, error.description or ""))
    response = _respond(answer)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _live() -> Response:
    """Live means that another start of this process would be no better."""
    if failure := _client().failure:
        raise Unavailable("broker-away", str(failure))
    return _json(200, {"status": "live"})


def _ready(name: str) -> Response:
    """Ready means that a message went through the queue and the database and back."""
    return _relayed(_client().exchange(ping_of(name), b"{}", timeout=READY_SECONDS))


def _operation(name: str, message_id: str) -> Response:
    return relay(outcome_query_of(name), message_id=message_id)


def _index(name: str, contract: ModuleType) -> str:
    try:
        pong = _client().call(ping_of(name)(), timeout=READY_SECONDS)
        health, database = "ready", pong.database
    except (Unavailable, AnswerLate) as problem:
        health, database = str(problem), "not known now"
    routes = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint != "static"]
    return render_template(
        "index.html",
        name=name,
        health=health,
        database=database,
        broker=_client().broker,
        routes=sorted(routes, key=lambda rule: rule.rule),
        operations=operations_in(contract),
        fields_of=msgspec.structs.fields,
    )
