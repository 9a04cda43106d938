"""The HTTP front end of the catalog; its routes are declared in the contract; these views answer with whole files."""

from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, Flask, Response

from bus import Client, ReplyTimeout, Unavailable
from bus.http import front_end, list_query, never_blocks
from catalog import contract
from catalog.contract import ListProducts
from catalog.files.writing import CONTENT_TYPES, CSV, NDJSON, cut_off, pages, written


def create_app(client: Client) -> Flask:
    """Make the WSGI application; it calls the workers through this client."""
    files = Blueprint("files", __name__)

    @files.get("/products.csv")
    @never_blocks
    def products_csv() -> Response:
        return _file(client, CSV)

    @files.get("/products.ndjson")
    @never_blocks
    def products_ndjson() -> Response:
        return _file(client, NDJSON)

    return front_end("catalog", contract, client, files)


def _file(client: Client, form: str) -> Response:
    """The products asked for, page by page. Without the first page there is no answer but a problem document."""
    pieces = written(pages(client, list_query(ListProducts)), form)
    first = next(pieces)
    response = Response(chain([first], _marked_if_cut_off(pieces, form)), content_type=CONTENT_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="products.{form}"'
    response.headers["Cache-Control"] = "no-cache"
    return response


def _marked_if_cut_off(pieces: Iterator[bytes], form: str) -> Iterator[bytes]:
    try:
        yield from pieces
    except (Unavailable, ReplyTimeout) as away:
        yield cut_off(away.problem, form)
