"""The product export file of WooCommerce: a row for each product, and for each variation of one.

A variable product is no product here; each of its variations is, with its own SKU, price and stock, and with the
description and the tags of the variable product.
"""

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from bus.files import Entry, Fault, Row, Skipped, Table
from catalog.files.html_text import text_of
from catalog.files.numbers import NotANumber, number

_NEEDED = {"ID", "Type", "SKU", "Name", "Regular price"}
_PUBLISHED = {"0": "private", "-1": "draft"}
_ATTRIBUTE_NAME = re.compile(r"Attribute ([0-9]+) name")
# Variable products that are remembered for their variations, which stand soon after them.
MOST_PARENTS = 10_000


def has_layout(columns: list[str]) -> bool:
    """Whether this is the header of such a file."""
    return set(columns) >= _NEEDED


def rows(table: Table, *, decimal_comma: bool) -> Iterator[Entry]:
    """The products and variations."""
    attributes = [found[1] for each in table.columns if (found := _ATTRIBUTE_NAME.fullmatch(each))]
    parents: OrderedDict[str, Mapping[str, str]] = OrderedDict()
    for record in table.records:
        if isinstance(record, Fault):
            yield record
            continue
        cells, types = record.cells, {each.strip() for each in record.cells["Type"].split(",")}
        if "variable" in types:
            _remember(parents, cells)
            continue
        parent = parents.get(cells.get("Parent", "").strip()) if "variation" in types else {}
        price = cells["Regular price"].strip()
        if parent is None:
            yield Fault(record.line, f"The product {cells['Parent']!r} that this is a variation of is not before it.")
        elif not price:
            yield Skipped(record.line, f"{cells['Name'].strip()!r} has no price")
        else:
            try:
                amount = number(price, decimal_comma=decimal_comma)
                yield Row(record.line, _fields(cells, parent, amount, attributes))
            except NotANumber as error:
                yield Fault(record.line, str(error))


def _remember(parents: OrderedDict[str, Mapping[str, str]], cells: Mapping[str, str]) -> None:
    """By both names that variations call it."""
    for name in (f"id:{cells['ID'].strip()}", cells["SKU"].strip()):
        if name:
            parents[name] = cells
    while len(parents) > MOST_PARENTS:
        parents.popitem(last=False)


def _fields(
    cells: Mapping[str, str], parent: Mapping[str, str], price: Decimal, attributes: list[str]
) -> dict[str, Any]:
    def own_or_parents(column: str) -> str:
        return cells.get(column, "").strip() or parent.get(column, "").strip()

    stock = cells.get("Stock", "").strip()
    stock = parent.get("Stock", "").strip() if stock == "parent" else stock
    description = own_or_parents("Description") or own_or_parents("Short description")
    return {
        "sku": cells["SKU"].strip() or None,
        "name": cells["Name"].strip(),
        "price": price,
        "quantity": max(0, int(number(stock or "0", decimal_comma=False))),
        "tags": [each.strip() for each in own_or_parents("Tags").split(",") if each.strip()],
        "description": text_of(description.replace("\\n", "\n")) or None,
        "attributes": dict(_attributes(cells, own_or_parents("Categories"), attributes)),
    }


def _attributes(cells: Mapping[str, str], categories: str, places: list[str]) -> Iterator[tuple[str, str]]:
    if categories:
        yield "categories", categories
    if sale := cells.get("Sale price", "").strip():
        yield "sale_price", sale
    if status := _PUBLISHED.get(cells.get("Published", "").strip()):
        yield "status", status
    for place in places:
        name, value = cells[f"Attribute {place} name"].strip(), cells.get(f"Attribute {place} value(s)", "").strip()
        if name and value:
            yield name, value
