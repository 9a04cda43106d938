"""The product export file of Shopify: a row for each variant, and more for further pictures.

Rows with the same Handle are one product, and only its first row has the title, the description and the tags. Each
variant becomes a product of its own, with its own SKU, price and stock.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from bus.files import Entry, Fault, Row, Skipped, Table
from catalog.files.html_text import text_of
from catalog.files.numbers import NotANumber, number

_NEEDED = {"Handle", "Title", "Variant Price"}
_OPTIONS = (1, 2, 3)
_NO_OPTION = ("Title", "Default Title")
# Columns that become attributes.
_ATTRIBUTES = {"Vendor": "vendor", "Type": "type", "Product Category": "category"}


def has_layout(columns: list[str]) -> bool:
    """Whether this is the header of such a file."""
    return set(columns) >= _NEEDED


def rows(table: Table, *, decimal_comma: bool) -> Iterator[Entry]:
    """The variants."""
    first: Mapping[str, str] = {}
    for record in table.records:
        if isinstance(record, Fault):
            yield record
            continue
        cells = record.cells
        if cells["Title"].strip() or cells["Handle"] != first.get("Handle"):
            first = cells
        if _is_picture(cells):
            continue
        price = cells["Variant Price"].strip()
        if not price:
            yield Skipped(record.line, f"{_name(first, cells)!r} has no price")
            continue
        try:
            yield Row(record.line, _fields(first, cells, number(price, decimal_comma=decimal_comma)))
        except NotANumber as error:
            yield Fault(record.line, str(error))


def _is_picture(cells: Mapping[str, str]) -> bool:
    """Whether a row has only a further picture of the product."""
    own = ("Title", "Option1 Value", "Variant SKU", "Variant Price")
    return not any(cells.get(each, "").strip() for each in own)


def _fields(first: Mapping[str, str], cells: Mapping[str, str], price: Decimal) -> dict[str, Any]:
    pieces = number(cells.get("Variant Inventory Qty", "").strip() or "0", decimal_comma=False)
    return {
        "sku": cells.get("Variant SKU", "").strip() or None,
        "name": _name(first, cells),
        "price": price,
        "quantity": max(0, int(pieces)),  # what is sold out may be below 0 there
        "tags": [each.strip() for each in first.get("Tags", "").split(",") if each.strip()],
        "description": text_of(first.get("Body (HTML)", "")) or None,
        "attributes": dict(_attributes(first, cells)),
    }


def _name(first: Mapping[str, str], cells: Mapping[str, str]) -> str:
    title = first["Title"].strip() or first["Handle"].strip()
    values = [value for _, value in _options(first, cells)]
    return f"{title} - {' / '.join(values)}" if values else title


def _options(first: Mapping[str, str], cells: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names of options, which only the first row has, with the values of this variant."""
    for place in _OPTIONS:
        name, value = first.get(f"Option{place} Name", "").strip(), cells.get(f"Option{place} Value", "").strip()
        if value and (name, value) != _NO_OPTION:
            yield name or f"option{place}", value


def _attributes(first: Mapping[str, str], cells: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "handle", first["Handle"].strip()
    for column, name in _ATTRIBUTES.items():
        if value := first.get(column, "").strip():
            yield name, value
    if barcode := cells.get("Variant Barcode", "").strip().strip("'"):
        yield "barcode", barcode
    if (status := first.get("Status", "").strip().lower()) not in ("", "active"):
        yield "status", status
    yield from _options(first, cells)
