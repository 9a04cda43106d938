"""The documents of the contract, as the front end serves them."""

from collections.abc import Callable
from hashlib import sha256
from types import ModuleType

from flask import Flask, Response, request

from bus.http.documents import as_text, asyncapi, openapi
from bus.messaging.message import JSON


def add_documents(app: Flask, name: str, contract: ModuleType) -> None:
    """Serve `/openapi.json` and `/asyncapi.json`; each is made now, and once."""
    for endpoint, make in (("openapi", openapi), ("asyncapi", asyncapi)):
        app.add_url_rule(f"/{endpoint}.json", endpoint, _view(as_text(make(name, contract)).encode()))


def _view(document: bytes) -> Callable[[], Response]:
    tag = sha256(document).hexdigest()

    def view() -> Response:
        response = Response(document, content_type=JSON)
        response.set_etag(tag)
        # Ask each time, and mostly hear that nothing has changed (RFC 9110, section 13.1.2).
        response.cache_control.no_cache = True
        response.make_conditional(request)
        return response

    return view
