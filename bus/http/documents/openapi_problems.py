"""The problems that a route can answer with, by status, and the schemas of their documents."""

from collections.abc import Iterable
from typing import Any

from bus.contract.fields import secrets_of
from bus.contract.identity import takes_secrets
from bus.contract.operations import Operation, OperationKind
from bus.contract.problems import Problem
from bus.contract.refusals import Refusal
from bus.contract.routes import Route
from bus.http.documents.schemas import Schema, Schemas, member_schemas

_BODY = ("malformed-json", "json-too-deep", "duplicate-key", "not-an-object")
_FIELDS = ("unknown-field", "wrong-type", "out-of-range", "invalid-text")
_TOKEN = ("token-required", "invalid-token")
_SEAL = ("unsealable", "unknown-sealing-key")
_ABSENCE = ("no-worker", "no-such-queue", "queue-full", "broker-away", "broker-blocked", "too-many-in-flight")
_CANNOT_NOW: dict[OperationKind, tuple[str, ...]] = {
    "command": ("outcome-unknown",),
    "transient": ("database-away", "database-busy", "outcome-unknown"),
    "query": ("database-away",),
}

# Statuses with further codes: those of a contract's own rules and violations.
OPEN = (422,)

Codes = dict[int, list[str]]


def problems_over_http(operation: type[Operation[Any]], route: Route) -> Codes:
    """The codes of the problem documents that a route can answer with, by status."""
    is_durable, secret = operation.is_durable, takes_secrets(operation)
    codes: Codes = {
        400: [
            "invalid-message-id",
            *(_BODY if route.has_body else ("duplicate-key", "unknown-argument")),
            "missing-field",
            *(["invalid-if-match"] if operation.if_match else []),
        ],
        401: _of_tokens(operation),
        403: ["insufficient-scope"] if operation.required_scope or operation.field_scopes else [],
        404: ["not-found"] if route.parameters else [],
        405: ["method-not-allowed"],
        409: ["in-progress"] if is_durable else [],
        413: ["too-large"] if route.has_body else [],
        415: ["unsupported-media-type", "unsupported-encoding"] if route.has_body else [],
        422: [*_FIELDS, *(["idempotency-key-reuse"] if is_durable else []), *(_SEAL if secret else ())],
        429: ["too-many-unsealable"] if secrets_of(operation) else [],
        500: ["internal-error"],
        503: [*_ABSENCE, *_CANNOT_NOW[operation.operation_kind], *(["no-sealing-key"] if secret else [])],
        504: [] if is_durable else ["answer-late"],
    }
    for refusal in operation.refusals.values():
        codes.setdefault(refusal.status, []).append(refusal.code)
    return {status: codes[status] for status in sorted(codes) if codes[status]}


def _of_tokens(operation: type[Operation[Any]]) -> list[str]:
    if operation.authentication == "none":
        return []
    may_be_required = operation.authentication == "required" or operation.field_scopes
    return [*_TOKEN] if may_be_required else [*_TOKEN[1:]]


def problem_schema(schemas: Schemas, status: int, codes: list[str], refusals: Iterable[type[Refusal]] = ()) -> Schema:
    """A problem document of this status and one of these codes, some of which belong to `refusals`."""
    code: Schema = {"type": "string", "examples": codes} if status in OPEN else {"enum": codes}
    members = member_schemas(refusal for refusal in refusals if refusal.status == status)
    return {"allOf": [schemas.of(Problem), {"properties": {"status": {"const": status}, "code": code, **members}}]}
