"""Responses: replies, answers and plain JSON as HTTP has them."""

from collections.abc import Mapping

import msgspec
from flask import Response
from werkzeug.exceptions import HTTPException

from bus.contract.problems import Problem
from bus.messaging.message import JSON, Message
from bus.messaging.replies import EncodedReply, status_of


def relayed(reply: Message) -> Response:
    """The reply as it came: its body is the body, its status the status."""
    response = Response(reply.body, status_of(reply), content_type=reply.content_type or JSON)
    for name, header in (("location", "Location"), ("retry-after", "Retry-After")):
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


def http_error(error: HTTPException) -> Response:
    """Flask's own errors (404, 405, 413 …), with the headers they come with, `Allow` among them."""
    status = error.code or 500
    code = (error.name or "error").lower().replace(" ", "-")
    answer = EncodedReply.problem(Problem.of(code, status, error.name, error.description or ""))
    response = respond(answer)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
