"""The views of the documents of the contract."""

from collections.abc import Callable
from hashlib import sha256
from types import ModuleType

from flask import Flask, Response, request

from bus.http.documents import as_text, asyncapi, openapi
from bus.messaging.message import JSON


def add_documents(app: Flask, name: str, contract: ModuleType) -> None:
    """Add `/openapi.json` and `/asyncapi.json`. Each document is made once, now."""
    for endpoint, make in (("openapi", openapi), ("asyncapi", asyncapi)):
        app.add_url_rule(f"/{endpoint}.json", endpoint, _view(as_text(make(name, contract)).encode()))


def _view(document: bytes) -> Callable[[], Response]:
    tag = sha256(document).hexdigest()

    def view() -> Response:
        response = Response(document, content_type=JSON)
        response.set_etag(tag)
        # Caches must ask each time; the usual answer is 304 Not Modified (RFC 9110, section 13.1.2).
        response.cache_control.no_cache = True
        response.make_conditional(request)
        return response

    return view
