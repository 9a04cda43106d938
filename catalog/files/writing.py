"""Writing: products as CSV or NDJSON, page by page."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import structs

from bus import Client, Problem, page_after
from catalog.contract import ListProducts, Product
from catalog.files.own import COLUMNS, tags_cell

PAGE = 500
CSV, NDJSON = "csv", "ndjson"
CONTENT_TYPES = {CSV: "text/csv; charset=utf-8; header=present", NDJSON: "application/x-ndjson"}

_encoder = msgspec.json.Encoder(decimal_format="number")


def pages(client: Client, query: ListProducts) -> Iterator[Sequence[Product]]:
    """The products that it asks for; each page is read when it is asked for. Raises as `Client.call`."""
    query = structs.replace(query, limit=PAGE)
    while True:
        page = client.call(query)
        yield page.products
        if page.next is None:
            return
        query = page_after(query, page.next)


def written(found: Iterator[Sequence[Product]], form: str) -> Iterator[bytes]:
    """The file, in pieces of a page each. The first page is read before the first piece."""
    write = {CSV: _csv, NDJSON: _ndjson}[form]
    begin = _lines([COLUMNS]) if form == CSV else b""
    for products in found:
        yield begin + write(products)
        begin = b""


def cut_off(problem: Problem, form: str) -> bytes:
    """The last line of a file that ends too early: no program takes it for a product.

    An answer over HTTP whose length is not known beforehand ends as well as a complete one.
    """
    if form == NDJSON:
        return _encoder.encode(problem) + b"\n"
    return _lines([[f"This file is not complete: {problem.title}. {problem.detail}"]])


def _ndjson(products: Sequence[Product]) -> bytes:
    return b"".join(_encoder.encode(each) + b"\n" for each in products)


def _csv(products: Sequence[Product]) -> bytes:
    return _lines([[_CELLS[name](getattr(each, name)) for name in COLUMNS] for each in products])


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _or_empty(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is msgspec.UNSET else write(value)


_CELLS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("id", "name", "price", "quantity", "available", "version"), str),
    **dict.fromkeys(("sku", "description"), _or_empty(str)),
    "tags": _or_empty(tags_cell),
    "attributes": _or_empty(lambda value: _encoder.encode(value).decode()),
    "updated_at": _or_empty(msgspec.to_builtins),
}
