"""The Flask application of a front end."""

from types import ModuleType

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from bus.client.client import Client
from bus.contract.builtin import outcome_query_of
from bus.contract.identity import is_guarded
from bus.contract.operations import operations_in
from bus.contract.problems import ProblemError
from bus.http.blocking import register_views
from bus.http.context import EXTENSION, FrontEnd
from bus.http.relaying import http_error, relay, respond
from bus.http.request_body import MAX_BODY_BYTES
from bus.http.routes import add_routes
from bus.http.telemetry import REQUEST_RECORD, RequestRecord, RequestTelemetry
from bus.http.views.documents import add_documents
from bus.http.views.health import live, ready
from bus.http.views.pages import add_pages
from bus.messaging.replies import EncodedReply
from bus.telemetry.metrics import CONTENT_TYPE, Metrics


class _MessageId(PathConverter):
    """A message id, which may contain slashes anywhere."""

    regex = ".+"
    part_isolating = False


def front_end(name: str, contract: ModuleType, client: Client, routes: Blueprint | None = None) -> Flask:
    """The front end of a service: the routes of its contract, problem documents, health, documents and pages.

    `routes` adds routes of your own; their views may call `relay`, and may block unless they are marked with
    `never_blocks`. Raises TypeError when two routes are the same.
    """
    # The package of the pages, because Flask serves the folder `static` of this package.
    app = Flask("bus.http.pages")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.url_map.converters["id"] = _MessageId
    app.url_map.merge_slashes = False  # `//` in a path is another path, and not a redirect to this one
    app.extensions[EXTENSION] = FrontEnd(client, reads_tokens=any(map(is_guarded, operations_in(contract))))
    metrics = client.metrics or Metrics()
    # The way that Flask documents to add WSGI middleware.
    app.wsgi_app = RequestTelemetry(name, app.wsgi_app, metrics, client.spans)  # type: ignore[method-assign]
    app.register_error_handler(ProblemError, _problem)
    app.register_error_handler(HTTPException, http_error)
    _add_own_routes(app, name, contract)
    app.add_url_rule("/metrics", "metrics", lambda: Response(metrics.text(), content_type=CONTENT_TYPE))
    if routes is not None:
        register_views(app, routes)
    add_routes(app, contract)
    add_documents(app, name, contract)
    return app


def _add_own_routes(app: Flask, name: str, contract: ModuleType) -> None:
    """Add the routes that every front end has."""
    outcome = outcome_query_of(name)
    app.add_url_rule("/health/live", "live", live)
    app.add_url_rule("/health/ready", "ready", lambda: ready(name))
    app.add_url_rule(
        "/operations/<id:message_id>", "operation", lambda message_id: relay(outcome, message_id=message_id)
    )
    add_pages(app, name, contract)


def _problem(error: ProblemError) -> Response:
    record: RequestRecord = request.environ[REQUEST_RECORD]
    record.code = error.problem.code
    return respond(EncodedReply.problem(error.problem, record.trace))
