"""How SQLite finds the rows of a list. Without statistics it does not know which condition finds few of them.

A condition that finds few rows is looked up in its index, and the others are checked. So is one whose index has the
order of the list, because reading ends with the page. Otherwise the rows are read in the order of the list and each is
checked: where no condition finds few, a page is soon full.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, select

from catalog.contract import ListProducts
from catalog.storage.list_conditions import Condition
from catalog.tables import product, product_terms

# A condition that finds no more rows is looked up. Reading that many takes a few milliseconds.
FEW = 5000

Rows = tuple[Select[Any], ColumnElement[Any]]


def rows_on_sqlite(
    connection: Connection, rows: Select[Any], query: ListProducts, conditions: Sequence[Condition]
) -> Rows:
    """The rows with these conditions, and the unique column to sort them by."""
    sort = (query.sort or "id").removeprefix("-")
    chosen = _narrow(connection, conditions, sort)
    if chosen is not None:
        return rows.where(product.c.id.in_(chosen.ids), *_checks(conditions, chosen)), product.c.id
    in_order = next((each for each in conditions if each.sort == sort), None)
    if in_order is None:
        return rows.where(*_checks(conditions, None)), product.c.id
    if not in_order.is_full_text:
        return rows.where(in_order.indexed, *_checks(conditions, in_order)), product.c.id
    found = in_order.ids.whereclause
    assert found is not None  # noqa: S101  # for the type checker
    by = product_terms.c.rowid
    joined = rows.add_columns(by).join_from(product_terms, product, product.c.id == by)
    return joined.where(found, *_checks(conditions, in_order)), by


def counted_on_sqlite(connection: Connection, conditions: Sequence[Condition]) -> Select[tuple[int]]:
    """The ids of all rows with these conditions."""
    if len(conditions) == 1:
        return conditions[0].ids
    chosen = _narrow(connection, conditions, "")
    ids = select(product.c.id)
    return ids.where(*([product.c.id.in_(chosen.ids)] if chosen else ()), *_checks(conditions, chosen))


def _narrow(connection: Connection, conditions: Sequence[Condition], sort: str) -> Condition | None:
    """A condition that finds few rows, of those whose index has another order."""
    for each in conditions:
        if each.sort == sort:
            continue
        found = each.ids.limit(FEW + 1).subquery()
        if connection.execute(select(func.count()).select_from(found)).scalar_one() <= FEW:
            return each
    return None


def _checks(conditions: Sequence[Condition], but: Condition | None) -> list[ColumnElement[bool]]:
    return [each.checked for each in conditions if each is not but]
