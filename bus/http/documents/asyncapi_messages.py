"""Messages in AsyncAPI: requests, replies, events and dead letters."""

from typing import Any

from bus.contract.events import Event
from bus.contract.fields import secrets_of
from bus.contract.operations import Operation
from bus.contract.pages import PageQuery
from bus.contract.problems import Problem
from bus.contract.refusals import Refusal
from bus.http.documents.description import words
from bus.http.documents.openapi_links import has_location
from bus.http.documents.schemas import Schema, Schemas, member_schemas
from bus.messaging.message import CLIENT_ADDRESS, JSON, MAX_ADDRESS_CHARACTERS, PROBLEM, SENT_AT
from bus.messaging.replies import ACCEPTED, NO_CONTENT
from bus.messaging.trace_context import MAX_STATE
from bus.security.seal import MAX_SEAL_BYTES, SEALED

_CORRELATION = {
    "description": "The property `correlation_id`, which the reply repeats.",
    "location": "$message.header#/correlation_id",
}
_TRACEPARENT: Schema = {
    "traceparent": {"type": "string", "description": "W3C Trace Context, level 1, section 3.2."},
}
_TRACE: Schema = {
    **_TRACEPARENT,
    "tracestate": {"type": "string", "maxLength": MAX_STATE, "description": "W3C Trace Context, level 1, section 3.3."},
    SENT_AT: {"type": "integer", "description": "When the message was sent, in milliseconds since 1970."},
}
_REQUEST_HEADERS: Schema = {
    "type": "object",
    "properties": {
        **_TRACE,
        "authorization": {
            "type": "string",
            "description": "`Bearer` and an access token, or `Sealed` and a JWE of one, where one is needed.",
        },
        CLIENT_ADDRESS: {
            "type": "string",
            "maxLength": MAX_ADDRESS_CHARACTERS,
            "description": "The IP address of the client that a front end relays.",
        },
    },
}
_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_LETTER_HEADERS: Schema = {
    "type": "object",
    "description": "The headers of a dead letter that a worker made. One that the broker moved has RabbitMQ's own.",
    "properties": {
        **dict.fromkeys(("letter-id", "origin-queue", "reason", "detail", "error-class", "traceback"), _TEXT),
        "attempts": _NUMBER,
        **dict.fromkeys(("first-at", "died-at", "reply-to", "traceparent", "tracestate"), _TEXT),
    },
}


def request_message(operation: type[Operation[Any]], schemas: Schemas) -> dict[str, Any]:
    """The request, with its secret fields plain or sealed."""
    whole, secret = schemas.of(operation), sorted(secrets_of(operation))
    return {
        "name": operation.__name__,
        "contentType": JSON,
        "headers": _REQUEST_HEADERS,
        "correlationId": _CORRELATION,
        "payload": {"oneOf": [whole, _sealed(operation, schemas, secret)]} if secret else whole,
        **_examples(schemas.whole(operation)),
    }


def reply_messages(operation: type[Operation[Any]], schemas: Schemas) -> dict[str, Any]:
    """The replies by name: `done`, `accepted` for commands, each refusal, and `problem` for everything else."""
    if operation.success_status == NO_CONTENT:
        done = _reply(NO_CONTENT, {"type": "string", "maxLength": 0}, {})
        del done["contentType"]
        return {"done": done, **_other_replies(operation, schemas)}
    location = {"location": _TEXT} if has_location(operation.reply_type) else {}
    version = {"etag": _TEXT} if operation.reply_type.version_path else {}
    link = {"link": _TEXT} if issubclass(operation, PageQuery) and operation.http else {}
    done = _reply(operation.success_status, schemas.of(operation.reply_type), {**location, **version, **link})
    done |= _examples(schemas.whole(operation.reply_type), {"status": operation.success_status})
    return {"done": done, **_other_replies(operation, schemas)}


def _other_replies(operation: type[Operation[Any]], schemas: Schemas) -> dict[str, Any]:
    refused = {refusal.__name__: _refusal(refusal, schemas) for refusal in operation.refusals.values()}
    return {
        **({"accepted": _accepted()} if operation.is_durable else {}),
        **refused,
        "problem": _problem(schemas),
    }


def event_message(event: type[Event], schemas: Schemas) -> dict[str, Any]:
    """An event, whose id is in the property `message_id`."""
    headers = {"type": "object", "properties": _TRACE}
    example = _examples(schemas.whole(event))
    return {"name": event.__name__, "contentType": JSON, "headers": headers, "payload": schemas.of(event), **example}


def dead_letter_message() -> dict[str, Any]:
    """A dead letter, with the original body or with the body without its secrets."""
    return {"name": "DeadLetter", "headers": _LETTER_HEADERS, "payload": {}}


def _sealed(operation: type[Operation[Any]], schemas: Schemas, secret: list[str]) -> Schema:
    schema = schemas.whole(operation, without=secret)
    seal = "A JWE in compact serialisation (RFC 7516, section 7.1) of the whole request and its message id."
    schema["title"] = f"{schema['title']}, sealed"
    schema["properties"] |= {SEALED: {"type": "string", "maxLength": MAX_SEAL_BYTES, "description": seal}}
    schema["required"] = [*schema["required"], SEALED]
    schema["examples"] = [{**example, SEALED: "eyJhbGciOiJFQ0RILUVTIn0.."} for example in schema.get("examples", ())]
    return schema


def _reply(status: int, payload: Schema, headers: Schema) -> dict[str, Any]:
    properties = {"status": {"const": status}, **_TRACEPARENT, **headers}
    return {
        "contentType": PROBLEM if status >= 400 else JSON,
        "headers": {"type": "object", "properties": properties, "required": ["status"]},
        "correlationId": _CORRELATION,
        "payload": payload,
    }


def _accepted() -> dict[str, Any]:
    payload = {"type": "object", "properties": {"message": _TEXT, "operation": _TEXT}}
    headers = {"location": _TEXT, "retry-after": _NUMBER}
    summary = "The service's database cannot be reached. The command is kept, and its reply follows."
    return {"summary": summary, **_reply(ACCEPTED, payload, headers)}


def _refusal(refusal: type[Refusal], schemas: Schemas) -> dict[str, Any]:
    payload = {
        "allOf": [
            schemas.of(Problem),
            {
                "properties": {
                    "status": {"const": refusal.status},
                    "code": {"const": refusal.code},
                    **member_schemas([refusal]),
                }
            },
        ]
    }
    return {**words(refusal), **_reply(refusal.status, payload, {})}


def _problem(schemas: Schemas) -> dict[str, Any]:
    status = {"type": "integer", "minimum": 400, "maximum": 599}
    properties = {"status": status, **_TRACEPARENT, "retry-after": _NUMBER}
    return {
        "summary": "Any other problem: the request was not acceptable, or its handler failed.",
        "contentType": PROBLEM,
        "headers": {"type": "object", "properties": properties, "required": ["status"]},
        "correlationId": _CORRELATION,
        "payload": schemas.of(Problem),
    }


def _examples(schema: Schema, headers: dict[str, Any] | None = None) -> dict[str, Any]:
    also = {"headers": headers} if headers else {}
    return {"examples": [{**also, "payload": each} for each in schema["examples"]]} if "examples" in schema else {}
