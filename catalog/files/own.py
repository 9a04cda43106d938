"""Our own CSV: a column for each field of a product. `writing.py` writes it, this reads it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from bus import Invalid, parse
from bus.files import Cells, Entry, Fault, FileRefused, Row, Table
from catalog.files.numbers import NotANumber, number, whole_number

# In the order of export files. What the catalog decides is in these too, and ignored in a file that is imported.
IGNORED = ("id", "available", "version", "updated_at")
COLUMNS = ("id", "sku", "name", "price", "quantity", "available", "tags", "description", "attributes", "version",
           "updated_at")  # fmt: skip
# These may be taken away from a product.
OPTIONAL = ("sku", "tags", "description", "attributes")


def has_layout(columns: list[str]) -> bool:
    """Whether a header has fields of products. It may have others too, which `rows` refuses by name."""
    return bool({each.lower() for each in columns} & set(COLUMNS) - set(IGNORED))


def rows(table: Table, *, decimal_comma: bool, takes_away: bool) -> Iterator[Entry]:
    """The products. An empty cell stands for what is not given, or, with `takes_away`, for what to take away.

    Raises FileRefused.
    """
    if unknown := [each for each in table.columns if each.lower() not in COLUMNS]:
        known = ", ".join(COLUMNS)
        raise FileRefused(f"Line 1: the column {unknown[0]!r} is unknown. Known are: {known}.")
    readers = _readers(decimal_comma=decimal_comma)
    for record in table.records:
        if isinstance(record, Fault):
            yield record
            continue
        try:
            yield Row(record.line, _fields(record, readers, takes_away=takes_away))
        except (NotANumber, Invalid, ValueError) as error:
            yield Fault(record.line, str(error))


def tags_cell(tags: list[str]) -> str:
    """Tags in a cell: with commas between them, or as JSON where that could be misunderstood."""
    if any("," in each for each in tags) or (tags and tags[0].startswith("[")):
        return msgspec.json.encode(tags).decode()
    return ",".join(tags)


def _fields(record: Cells, readers: Mapping[str, Callable[[str], Any]], *, takes_away: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for column, cell in record.cells.items():
        name = column.lower()
        if name in IGNORED:
            continue
        if cell and (name == "description" or cell.strip()):
            try:
                fields[name] = readers[name](cell)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        elif takes_away and name in OPTIONAL:
            fields[name] = None
    return fields


def _readers(*, decimal_comma: bool) -> dict[str, Callable[[str], Any]]:
    return {
        "name": str,
        "price": lambda cell: number(cell, decimal_comma=decimal_comma),
        "quantity": whole_number,
        "sku": str.strip,
        "tags": _tags,
        "description": str,
        "attributes": _attributes,
    }


def _tags(cell: str) -> list[str]:
    if cell.startswith("["):
        try:
            return msgspec.json.decode(cell, type=list[str])
        except msgspec.DecodeError:
            raise ValueError("This begins as a JSON list, and is none.") from None
    return [each.strip() for each in cell.split(",") if each.strip()]


def _attributes(cell: str) -> dict[str, Any]:
    try:
        return parse(cell.encode("utf-8", "surrogatepass"))
    except Invalid as invalid:
        raise ValueError(f'Expected a JSON object such as {{"colour": "red"}}. {invalid}') from None
