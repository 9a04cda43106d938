"""Reading: the entries of a file of any of the layouts, as operations of batches."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from bus import accept
from bus.files import Accepted, Entry, FileImport, FileRefused, Row, accepted, has_objects, read_objects, read_table
from catalog.contract import MOST_OPERATIONS, BatchOperation, ChangeProducts
from catalog.files import own, shopify, woocommerce

# Of the operations of one batch; a message may have 262,144.
MOST_BATCH_BYTES = 200_000


@dataclass(frozen=True)
class Reading:
    """How a file is to be read. With `by_sku`, a product that has the SKU is changed instead of created."""

    decimal_comma: bool = False
    by_sku: bool = False


def import_of(reading: Reading) -> FileImport:
    """The import of products from files."""

    def read(text: TextIO) -> tuple[str, Iterator[Accepted[BatchOperation]]]:
        layout, found = entries(text, reading)
        return layout, operations(found, reading)

    return FileImport(
        operation=ChangeProducts,
        plural="products",
        needs="catalog:write",
        most_items=MOST_OPERATIONS,
        most_bytes=MOST_BATCH_BYTES,
        read=read,
        command=lambda items: ChangeProducts(operations=items, brief=True),
        unique=lambda operation: {} if reading.by_sku or not (sku := operation.content.sku) else {"sku": sku},
        how=str(reading),
    )


def entries(text: TextIO, reading: Reading) -> tuple[str, Iterator[Entry]]:
    """What the layout of a file is called, and its entries. Raises FileRefused, also while they are read."""
    is_ndjson, lines = has_objects(text)
    if is_ndjson:
        return "NDJSON", _objects(lines)
    table = read_table(lines)
    if shopify.has_layout(table.columns):
        return "Shopify", shopify.rows(table, decimal_comma=reading.decimal_comma)
    if woocommerce.has_layout(table.columns):
        return "WooCommerce", woocommerce.rows(table, decimal_comma=reading.decimal_comma)
    if not own.has_layout(table.columns):
        raise FileRefused(
            f"The first line does not name columns of products. Expected some of {', '.join(own.COLUMNS)}, "
            "or a product export file of Shopify or WooCommerce, or NDJSON."
        )
    return "CSV", own.rows(table, decimal_comma=reading.decimal_comma, takes_away=reading.by_sku)


def operations(found: Iterable[Entry], reading: Reading) -> Iterator[Accepted[BatchOperation]]:
    """Valid operations with their lines, and what is not one."""
    kind = "put" if reading.by_sku else "create"

    def operation(fields: Mapping[str, Any]) -> BatchOperation:
        return accept({"operations": [{kind: dict(fields)}]}, ChangeProducts).operations[0]  # as the worker will

    return accepted(found, operation, f"/operations/0/{kind}")


def _objects(text: Iterable[str]) -> Iterator[Entry]:
    for each in read_objects(text):
        if isinstance(each, Row):
            yield Row(each.line, {name: value for name, value in each.fields.items() if name not in own.IGNORED})
        else:
            yield each
