"""The health checks in OpenAPI: two paths that every front end has."""

from typing import Any

from bus.contract.builtin import Pong
from bus.http.documents.openapi_operation import problem_responses, response
from bus.http.documents.schemas import Schemas
from bus.messaging.message import JSON

_LIVE = {
    "type": "object",
    "properties": {"status": {"const": "live"}},
    "required": ["status"],
    "examples": [{"status": "live"}],
}
# The codes of a 503 that a ping can get. A late reply is a 504.
_NOT_READY = ["no-worker", "no-such-queue", "queue-full", "broker-away", "broker-blocked", "too-many-in-flight"]


def health_paths(service: str, schemas: Schemas) -> dict[str, Any]:
    """`/health/live` and `/health/ready`."""
    wrong_method = {405: ["method-not-allowed"]}
    live = response("The process works.", _LIVE, JSON, {})
    ready = response("A worker and its database answered.", schemas.of(Pong), JSON, {})
    not_live = problem_responses(schemas, {**wrong_method, 503: ["broker-away"]})
    not_ready = problem_responses(
        schemas, {**wrong_method, 500: ["internal-error"], 503: [*_NOT_READY, "database-away"], 504: ["answer-late"]}
    )
    return {
        "/health/live": {"get": _get(f"{service}.live", "Whether this process works.", {"200": live, **not_live})},
        "/health/ready": {"get": _get(f"{service}.ready", "Whether the service answers.", {"200": ready, **not_ready})},
    }


def _get(name: str, summary: str, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": name, "summary": summary, "responses": responses}
