"""The views of the HTML pages."""

import re
from functools import cache, partial
from types import ModuleType

from flask import Flask, Response, current_app
from werkzeug.routing import Rule

from bus.contract.builtin import ping_of
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.http.context import client
from bus.http.pages.guide import Guide, guide_to
from bus.http.pages.page import Page
from bus.http.pages.pages import Link, State, docs_page, message_page, start_page
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
    guide = cache(lambda: guide_to(name, contract))  # made at the first request
    messages = cache(lambda: message_page(guide(), is_embedded=client().is_embedded))
    app.add_url_rule("/", "index", lambda: _sent(_start_page(guide())))
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


def _start_page(guide: Guide) -> Page:
    """The start page, which is shown even when the broker or the service cannot be reached."""
    health, database = "ready", ""
    try:
        database = client().call(ping_of(guide.service)(), timeout=READY_SECONDS).database
    except (Unavailable, ReplyTimeout) as problem:
        health = str(problem)
    state = State(health, client().broker, database, client().is_embedded)
    rules = [rule for rule in current_app.url_map.iter_rules() if rule.endpoint != "static"]
    paths = {rule.rule for rule in rules}
    shown = {each.route for each in guide.operations} | {f"GET {link.path}" for link in LINKS} | {"GET /"}
    return start_page(
        guide, state, [link for link in LINKS if link.path in paths], sorted(set(map(_route, rules)) - shown)
    )


def _route(rule: Rule) -> str:
    """The methods and the path of a rule, as a contract writes them."""
    methods = ", ".join(sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}))
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
    return f"{methods} {path}"
