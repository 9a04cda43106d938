"""The views of the HTML pages."""

import re
from collections.abc import Iterable
from functools import cache, partial
from types import ModuleType

from flask import Flask, Response, current_app
from werkzeug.routing import Rule

from bus.contract.builtin import ping_of
from bus.contract.operations import operations_in
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.http.context import client
from bus.http.pages.guide import guide_to
from bus.http.pages.page import Page
from bus.http.pages.pages import Link, Row, State, docs_page, message_page, start_page
from bus.http.views.health import READY_SECONDS

# A year. Static files never change, because their paths contain their version.
STATIC_SECONDS = 365 * 24 * 3600

# The links of the start page; a path that the front end does not have is left out.
LINKS = (
    Link("/docs", "the HTTP interface, to read and to try"),
    Link("/messages", "the queues and events, with programs to copy"),
    Link("/openapi.json", "the HTTP interface for tools (OpenAPI 3.1)"),
    Link("/asyncapi.json", "the queues and events for tools (AsyncAPI 3.0)"),
    Link("/health/ready", "whether a message goes through the queue, a worker and the database"),
    Link("/metrics", "metrics for Prometheus"),
)


def add_pages(app: Flask, name: str, contract: ModuleType) -> None:
    """Add `/`, `/docs`, `/messages` and the files that they load."""
    messages = cache(lambda: message_page(guide_to(name, contract)))  # made at the first request
    app.add_url_rule("/", "index", lambda: _sent(_start_page(name, contract)))
    app.add_url_rule("/docs", "docs", lambda: _sent(docs_page(name)))
    app.add_url_rule("/messages", "messages", lambda: _sent(messages()))
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = STATIC_SECONDS
    app.view_functions["static"] = partial(_static_file, app)


def _sent(page: Page) -> Response:
    return Response(page.html, headers=dict(page.headers))


def _static_file(app: Flask, filename: str) -> Response:
    """A static file, marked as immutable (RFC 8246), so that browsers do not ask again. Flask sets `max-age`."""
    response = app.send_static_file(filename)
    response.cache_control.immutable = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _start_page(name: str, contract: ModuleType) -> Page:
    """The start page, which is shown even when the broker or the service cannot be reached."""
    try:
        pong = client().call(ping_of(name)(), timeout=READY_SECONDS)
        state = State("ready", client().broker, pong.database)
    except (Unavailable, ReplyTimeout) as problem:
        state = State(str(problem), client().broker, "")
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint != "static"]
    paths = {rule.rule for rule in rules}
    return start_page(name, state, _rows(rules, contract), [link for link in LINKS if link.path in paths])


def _rows(rules: Iterable[Rule], contract: ModuleType) -> list[Row]:
    """The routes of the contract first, then those that every front end has."""
    names = {str(operation.http): operation.operation_name for operation in operations_in(contract)}
    rows = []
    for rule in rules:
        methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        rows.append(Row(methods, path, names.get(f"{methods} {path}", "")))
    return sorted(rows, key=lambda row: (not row.operation, row.path, row.methods))
