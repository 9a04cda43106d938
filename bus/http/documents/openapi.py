"""OpenAPI 3.1: the routes of a front end, with their requests and responses."""

from types import ModuleType
from typing import Any

from bus.contract.builtin import Pong, outcome_query_of
from bus.contract.operations import Operation
from bus.contract.pages import PageQuery
from bus.contract.problems import Problem
from bus.contract.routes import Route
from bus.http.documents.description import Described
from bus.http.documents.openapi_files import file_paths
from bus.http.documents.openapi_health import health_paths
from bus.http.documents.openapi_operation import http_operation
from bus.http.documents.schemas import Schemas
from bus.http.documents.security import security_schemes

OPENAPI = "3.1.0"


def openapi(name: str, contract: ModuleType) -> dict[str, Any]:
    """The document of the front end of a service."""
    described = Described(name, contract)
    routed = _routes_of(described)
    operations = [operation for operation, _ in routed]
    schemas = Schemas(operations, [Problem, Pong, *(operation.reply_type for operation in operations)])
    paths: dict[str, Any] = {}
    for operation, route in routed:
        paths.setdefault(route.path, {})[route.method.lower()] = http_operation(operation, route, schemas, operations)
        paths |= file_paths(operation, route, schemas) if issubclass(operation, PageQuery) else {}
    return {
        "openapi": OPENAPI,
        "info": described.info(),
        "servers": [{"url": "."}],
        "paths": {**paths, **health_paths(described.name, schemas)},
        "components": {"schemas": _used(schemas, operations), **security_schemes(operations)},
    }


def _routes_of(described: Described) -> list[tuple[type[Operation[Any]], Route]]:
    declared = [(operation, operation.http) for operation in described.declared if operation.http is not None]
    return [
        *declared,
        (outcome_query_of(described.name), Route("GET", "/operations/{message_id}", has_body=False, needs_body=False)),
    ]


def _used(schemas: Schemas, operations: list[type[Operation[Any]]]) -> dict[str, Any]:
    """All schemas but those of requests, which are inside their routes, without the fields in the path.

    A request inside another one is whole there.
    """
    requests = {schemas.name_of(operation) for operation in operations}
    requests -= {name for operation in operations for name in schemas.named_inside(operation)}
    return {name: schema for name, schema in schemas.components.items() if name not in requests}
