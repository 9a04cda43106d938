"""Adds the routes of a contract to a Flask application."""

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
    """Add the routes of all operations.

    Raises TypeError when the application has one of them already, or none for a file that is declared.
    """
    for operation in operations_in(contract):
        if operation.http is not None:
            _check_free(app, operation.http)
            _add_route(app, operation, operation.http)
    _check_files(app, contract)


def _add_route(app: Flask, operation: type[Operation[Any]], route: Route) -> None:
    # Flask reads the part of an endpoint before a dot as the name of a blueprint.
    endpoint = operation.operation_name.replace(".", ":")
    app.add_url_rule(_rule(operation, route), endpoint, partial(relay, operation), methods=[route.method])


def _rule(operation: type[Operation[Any]], route: Route) -> str:
    numbers = {field.encode_name for field in msgspec.structs.fields(operation) if is_whole_number(field)}
    return _PARAMETER.sub(lambda found: f"<int:{found[1]}>" if found[1] in numbers else f"<{found[1]}>", route.path)


def _check_files(app: Flask, contract: ModuleType) -> None:
    paths = {rule.rule for rule in app.url_map.iter_rules()}
    for operation in operations_in(contract):
        if missing := operation.files.keys() - paths:
            raise TypeError(f"{operation.__name__} declares the file {min(missing)}: give `front_end` a route for it")


def _check_free(app: Flask, route: Route) -> None:
    """Flask itself accepts a second rule for a route and never uses it."""
    shape = _PARAMETER.sub("{}", route.path)
    for rule in app.url_map.iter_rules():
        if re.sub(r"<[^>]+>", "{}", rule.rule) == shape and route.method in (rule.methods or ()):
            raise TypeError(f"{route}: the endpoint {rule.endpoint} has this route already; choose another path")
