"""Routes of a contract, as Flask has them."""

import re
from functools import partial
from types import ModuleType
from typing import Any

import msgspec
from flask import Flask

from bus.contract.operations import Operation, operations_in
from bus.contract.routes import Route, is_whole_number
from bus.http.relaying import relay

_PARAMETER = re.compile(r"\{(\w+)\}")


def add_routes(app: Flask, contract: ModuleType) -> None:
    """Let each route of the contract lead to its operation. Raises TypeError when another has it already."""
    for operation in operations_in(contract):
        if operation.http is not None:
            _check_free(app, operation.http)
            _add_route(app, operation, operation.http)


def _add_route(app: Flask, operation: type[Operation[Any]], route: Route) -> None:
    # Flask takes what stands before a dot in the name of an endpoint for that of a blueprint.
    endpoint = operation.operation_name.replace(".", ":")
    app.add_url_rule(_rule(operation, route), endpoint, partial(relay, operation), methods=[route.method])


def _rule(operation: type[Operation[Any]], route: Route) -> str:
    numbers = {field.encode_name for field in msgspec.structs.fields(operation) if is_whole_number(field)}
    return _PARAMETER.sub(lambda found: f"<int:{found[1]}>" if found[1] in numbers else f"<{found[1]}>", route.path)


def _check_free(app: Flask, route: Route) -> None:
    """Flask itself lets the first of two have them all."""
    shape = _PARAMETER.sub("{}", route.path)
    for rule in app.url_map.iter_rules():
        if re.sub(r"<[^>]+>", "{}", rule.rule) == shape and route.method in (rule.methods or ()):
            raise TypeError(f"{route}: this route leads elsewhere already, to {rule.endpoint}")
