"""One operation in OpenAPI: parameters, body, responses."""

from collections.abc import Collection
from typing import Any

from bus.contract.builtin import MESSAGE_ID_PATTERN, outcome_query_of
from bus.contract.fields import holds_secrets
from bus.contract.operations import Operation, service_of
from bus.contract.pages import PageQuery
from bus.contract.refusals import Refusal
from bus.contract.routes import Route
from bus.http.documents.description import words
from bus.http.documents.openapi_links import has_location, links_of
from bus.http.documents.openapi_problems import problem_schema, problems_over_http
from bus.http.documents.schemas import Schema, Schemas
from bus.http.documents.security import http_security
from bus.http.preferences import MAX_WAIT_SECONDS
from bus.messaging.message import JSON, MERGE_PATCH, PROBLEM
from bus.messaging.replies import NO_CONTENT, VERSION_TAG

Response = dict[str, Any]

RATE_LIMIT = {
    "description": "draft-ietf-httpapi-ratelimit-headers: that nothing is left, and for how many seconds.",
    "schema": {"type": "string"},
    "required": True,
}
RETRY_AFTER = {
    "description": "Seconds to wait.",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
}
ALLOW = {"description": "The methods of this path.", "required": True, "schema": {"type": "string"}}
CHALLENGE = {
    "description": "What is missing, or wrong with the token (RFC 6750, section 3).",
    "required": True,
    "schema": {"type": "string"},
}
_LOCATION = {"required": True, "schema": {"type": "string", "format": "uri-reference"}}
_NO_STORE = {"Cache-Control": {"required": True, "schema": {"const": "no-store"}}}
_APPLIED = {"description": "The preferences that were followed (RFC 7240).", "schema": {"type": "string"}}
_ACCEPTED: Schema = {
    "type": "object",
    "properties": {"message": {"const": "Accepted"}, "operation": {"type": "string", "format": "uri-reference"}},
    "required": ["message", "operation"],
    "examples": [{"message": "Accepted", "operation": "/operations/order-4711"}],
}

_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The message id. The same key with the same fields is carried out once and answered alike.",
    "schema": {"type": "string", "pattern": MESSAGE_ID_PATTERN, "minLength": 1, "maxLength": 255},
}


_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The `ETag` of what the caller knows, or `*` (RFC 9110, section 13.1.1).",
    "schema": {"type": "string", "pattern": f"^({VERSION_TAG}|[*])$", "examples": ['"7"']},
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of the answer that the caller has (RFC 9110, section 13.1.2).",
    "schema": {"type": "string", "examples": ['"7"']},
}
_LINK: dict[str, Any] = {
    "description": 'The next page, with `rel="next"` (RFC 8288); not on the last.',
    "schema": {"type": "string"},
}
_ETAG: dict[str, Any] = {
    "description": "Changes with what the answer shows (RFC 9110, section 8.8.3).",
    "schema": {"type": "string"},
}


def http_operation(
    operation: type[Operation[Any]], route: Route, schemas: Schemas, others: list[type[Operation[Any]]]
) -> dict[str, Any]:
    """The operation object. Links may point to the operations in `others`."""
    body = {"requestBody": _request_body(operation, route, schemas)} if route.has_body else {}
    return {
        "operationId": operation.operation_name,
        **words(operation),
        **http_security(operation),
        "parameters": _parameters(operation, route, schemas),
        **body,
        "responses": _responses(operation, route, schemas, others),
    }


def problem_responses(
    schemas: Schemas, codes: dict[int, list[str]], refusals: Collection[type[Refusal]] = ()
) -> dict[str, Response]:
    """The responses that are problem documents, with their headers; some of the codes are those of `refusals`."""
    headers: dict[int, dict[str, Any]] = {
        401: {"WWW-Authenticate": CHALLENGE},
        403: {"WWW-Authenticate": {**CHALLENGE, "required": False}},
        405: {"Allow": ALLOW},
        429: {"Retry-After": RETRY_AFTER, "RateLimit": RATE_LIMIT},
        503: {"Retry-After": RETRY_AFTER},
    }
    if "in-progress" in codes.get(409, ()):
        # The header comes with this code, and not with refusals of the same status.
        headers[409] = {"Retry-After": {**RETRY_AFTER, "required": False}}
    return {
        str(status): response(
            ", ".join(f"`{code}`" for code in each),
            problem_schema(schemas, status, each, refusals),
            PROBLEM,
            headers.get(status, {}),
        )
        for status, each in codes.items()
    }


def response(description: str, schema: Schema, content_type: str, headers: dict[str, Any]) -> Response:
    """A response object."""
    named = {"headers": headers} if headers else {}
    return {"description": description, **named, "content": {content_type: {"schema": schema}}}


def parameter(name: str, place: str, whole: Schema) -> dict[str, Any]:
    """The parameter object of a field."""
    return {"name": name, "in": place, "required": name in whole["required"], "schema": whole["properties"][name]}


def _parameters(operation: type[Operation[Any]], route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    whole = schemas.whole(operation)
    parameters = [parameter(name, "path", whole) for name in route.parameters]
    if not route.has_body:
        rest = [name for name in whole["properties"] if name not in route.parameters]
        parameters += [parameter(name, "query", whole) for name in rest]
    if operation.if_match:
        parameters.append(_IF_MATCH)
    elif operation.operation_kind == "query":
        parameters.append(_IF_NONE_MATCH)
    return [*parameters, *([_KEY, _prefer("wait=2", "respond-async")] if operation.is_durable else [_prefer("wait=2")])]


def _prefer(*examples: str) -> dict[str, Any]:
    return {
        "name": "Prefer",
        "in": "header",
        "description": f"How long to wait for the answer (RFC 7240): `wait=N`, at most {MAX_WAIT_SECONDS} seconds, "
        "or, for a command, `respond-async`.",
        "schema": {"type": "string", "examples": list(examples)},
    }


def _request_body(operation: type[Operation[Any]], route: Route, schemas: Schemas) -> dict[str, Any]:
    kinds = (JSON, MERGE_PATCH) if route.method == "PATCH" else (JSON,)
    schema = schemas.whole(operation, without=route.parameters)
    return {"required": route.needs_body, "content": {kind: {"schema": schema} for kind in kinds}}


def _responses(
    operation: type[Operation[Any]], route: Route, schemas: Schemas, others: list[type[Operation[Any]]]
) -> dict[str, Response]:
    answers = {str(operation.success_status): _success(operation, schemas, others)}
    if operation.operation_kind == "query" and not holds_secrets(operation.reply_type):
        answers["304"] = {"description": "The caller has this version; there is no body.", "headers": {"ETag": _ETAG}}
    if operation.is_durable:
        headers = {
            "Location": {"description": "Where its outcome is.", **_LOCATION},
            "Retry-After": RETRY_AFTER,
        }
        accepted = response("Accepted, but not done yet.", _ACCEPTED, JSON, {**headers, **_applied()})
        answers["202"] = {**accepted, "links": {"GetOutcome": _outcome_link(operation)}}
    return answers | problem_responses(schemas, problems_over_http(operation, route), operation.refusals.values())


def _outcome_link(operation: type[Operation[Any]]) -> dict[str, Any]:
    """A link for requests with an Idempotency-Key. For the others only `Location` has the message id."""
    outcome = outcome_query_of(service_of(operation)).operation_name
    return {"operationId": outcome, "parameters": {"message_id": "$request.header.Idempotency-Key"}}


def _success(operation: type[Operation[Any]], schemas: Schemas, others: list[type[Operation[Any]]]) -> Response:
    located = has_location(operation.reply_type)
    headers = {"Location": {"description": "The path of what was created.", **_LOCATION}} if located else {}
    if holds_secrets(operation.reply_type):
        headers |= _NO_STORE
    elif operation.operation_kind == "query" or operation.reply_type.version_path:
        headers |= {"ETag": _ETAG}
    if issubclass(operation, PageQuery):
        headers |= {"Link": _LINK}
    description = words(operation.reply_type).get("summary", "Done.")
    if operation.success_status == NO_CONTENT:
        return {"description": description, "headers": _applied()}
    done = response(description, schemas.of(operation.reply_type), JSON, {**headers, **_applied()})
    links = links_of(operation, others) if located else {}
    return {**done, "links": links} if links else done


def _applied() -> dict[str, Any]:
    return {"Preference-Applied": _APPLIED}
