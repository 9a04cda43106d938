"""Reading: the entries of a file of any of the layouts, as operations of batches."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TextIO

import msgspec

from bus import Invalid, accept
from catalog.contract import MOST_OPERATIONS, BatchOperation, ChangeProducts
from catalog.files import ndjson, own, shopify, woocommerce
from catalog.files.entries import Entry, Fault, FileRefused, Row, Skipped
from catalog.files.source import Source
from catalog.files.table import read_table

# Of the operations of one batch; a message may have 262,144.
MOST_BATCH_BYTES = 200_000


@dataclass(frozen=True)
class Reading:
    """How a file is to be read. With `by_sku`, a product that has the SKU is changed instead of created."""

    decimal_comma: bool = False
    by_sku: bool = False

    def run_of(self, source: Source, name: str) -> str:
        """What identifies an import: the content of the file, how it is read, and a name for another one of the same.

        The messages of an import have ids that begin with it.
        """
        said = f"{source.digest} {source.encoding} {self.decimal_comma} {self.by_sku} {name}"
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


@dataclass
class Batch:
    """Operations that are sent together, with their lines."""

    operations: list[BatchOperation] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)


def entries(text: TextIO, reading: Reading) -> tuple[str, Iterator[Entry]]:
    """What the layout of a file is called, and its entries. Raises FileRefused, also while they are read."""
    begin = []
    for line in text:
        begin.append(line)
        if line.strip():
            break
    whole = chain(begin, text)
    if begin and begin[-1].lstrip().startswith("{"):
        return "NDJSON", ndjson.rows(whole)
    table = read_table(whole)
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


def operations(found: Iterable[Entry], reading: Reading) -> Iterator[tuple[int, BatchOperation] | Fault | Skipped]:
    """Valid operations with their lines, and what is not one."""
    kind = "put" if reading.by_sku else "create"
    for each in found:
        if not isinstance(each, Row):
            yield each
            continue
        try:  # as the worker will
            (operation,) = accept({"operations": [{kind: dict(each.fields)}]}, ChangeProducts).operations
            yield each.line, operation
        except Invalid as invalid:
            yield Fault(each.line, _in_words(invalid, f"/operations/0/{kind}"))


def batches(
    found: Iterable[tuple[int, BatchOperation] | Fault | Skipped], aside: Callable[[Fault | Skipped], None]
) -> Iterator[Batch]:
    """The operations in batches, the same for the same file. Faults and skipped entries go `aside` on the way."""
    batch, size = Batch(), 0
    for each in found:
        if isinstance(each, Fault | Skipped):
            aside(each)
            continue
        line, operation = each
        length = len(msgspec.json.encode(operation))
        if batch.operations and (len(batch.operations) == MOST_OPERATIONS or size + length > MOST_BATCH_BYTES):
            yield batch
            batch, size = Batch(), 0
        batch.operations.append(operation)
        batch.lines.append(line)
        size += length
    if batch.operations:
        yield batch


def _in_words(invalid: Invalid, begin: str) -> str:
    faults = [(each.pointer.removeprefix(begin).strip("/"), each.detail) for each in invalid.problem.errors]
    return " ".join(f"{name}: {detail}" for name, detail in faults) or str(invalid)
