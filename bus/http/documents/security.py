"""Who may call an operation, as OpenAPI and AsyncAPI say it. The same words are in both."""

from collections.abc import Iterable
from typing import Any

from bus.contract.identity import is_guarded
from bus.contract.operations import Operation

_NAME = "bearer"
_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "An access token of the service `auth` (RFC 9068). It must have the scope that an operation names, "
    "unless the service is open to everyone.",
}


def security_schemes(operations: Iterable[type[Operation[Any]]]) -> dict[str, Any]:
    """The member of `components`, for services that have operations which need a token."""
    return {"securitySchemes": {_NAME: _SCHEME}} if any(map(is_guarded, operations)) else {}


def http_security(operation: type[Operation[Any]]) -> dict[str, Any]:
    """The security requirement of an OpenAPI operation. OpenAPI 3.1 has scopes for all types of schemes."""
    if operation.field_scopes:  # an empty requirement makes the other optional
        return {"security": [{}, {_NAME: sorted(set(operation.field_scopes.values()))}]}
    if not is_guarded(operation):
        return {}
    return {"security": [{_NAME: [operation.required_scope] if operation.required_scope else []}]}


def queue_security(operation: type[Operation[Any]]) -> dict[str, Any]:
    """The same of an AsyncAPI operation, which names scopes only for OAuth 2: here they are in the description."""
    if operation.field_scopes:
        needed = " and ".join(
            f"with the scope `{scope}` for `{name}`" for name, scope in operation.field_scopes.items()
        )
        return {"security": [{**_SCHEME, "description": f"The header `authorization` has an access token {needed}."}]}
    if not is_guarded(operation):
        return {}
    needed = f"with the scope `{operation.required_scope}`" if operation.required_scope else "of any account"
    return {"security": [{**_SCHEME, "description": f"The header `authorization` has an access token {needed}."}]}
