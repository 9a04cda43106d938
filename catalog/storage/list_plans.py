"""How the rows of a list are found: whether through the index of a condition, or through that of the order.

PostgreSQL has statistics, and decides by itself. SQLite does not know how many rows a condition finds. So they are
counted first, up to a bound. Few are looked up in its index and sorted. Some are a set of ids: the index of the order
is read until enough of its ids are in the set, and only their rows are looked up. Otherwise the rows are read in the
order of the list and each is checked: where no condition finds so few, a page is soon full. A condition whose own index
has the order is not counted, as reading it ends with the page.

The bounds are where the next way becomes faster. Of n products a condition finds k: looking them up reads k rows, and
reading in the order of the list n / k for each row of a page. Both are the same where k is the square root of n times
the size of a page; the factors are what SQLite needs for a row, an id and an entry of an index.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select

from catalog.contract import ListProducts
from catalog.storage.list_conditions import Condition, matching
from catalog.tables import product, product_terms

FEW, SOME = 0.4, 2.0

_last_id = select(func.max(product.c.id))

Ids = Select[tuple[int]]
Rows = tuple[Select[Any], ColumnElement[Any]]


def rows_on_sqlite(
    connection: Connection, rows: Select[Any], query: ListProducts, conditions: Sequence[Condition]
) -> Rows:
    """The rows with these conditions, and the unique column to sort them by."""
    sort = (query.sort or "id").removeprefix("-")
    rows = rows.where(*(each.checked for each in conditions))
    others = [each for each in conditions if each.sort != sort]
    ids, are_few = _narrowest(connection, others, query.limit) if others else (None, False)
    if ids is not None and are_few:
        return rows.where(product.c.id.in_(ids)), product.c.id
    in_order = [each for each in conditions if each.sort == sort]
    by: ColumnElement[Any] = product.c.id
    if terms := [each for each in in_order if each.match]:
        by = product_terms.c.rowid
        rows = rows.add_columns(by).join_from(product_terms, product, product.c.id == by).where(matching(terms))
    elif in_order:
        rows = rows.where(in_order[0].indexed)
    if ids is not None:
        # With a plus before it, SQLite does not look the ids up.
        rows = rows.where(literal_column(f"+{by}", by.type).in_(ids))
    return rows, by


def counted_on_sqlite(connection: Connection, conditions: Sequence[Condition]) -> Ids:
    """The ids of all rows with these conditions."""
    if len(conditions) == 1:
        return conditions[0].ids
    ids, _ = _narrowest(connection, conditions, _size(connection))
    found = select(product.c.id).where(*(each.checked for each in conditions))
    return found if ids is None else found.where(product.c.id.in_(ids))


def _narrowest(connection: Connection, conditions: Sequence[Condition], limit: int) -> tuple[Ids | None, bool]:
    """The ids of a condition that finds few rows, else of the one that finds least, and whether they are few.

    None if all find too many. Terms that do not are looked up together: their index takes long only where one finds
    many.
    """
    root = sqrt(_size(connection) * limit)
    few, most = FEW * root, int(SOME * root)
    chosen, least = None, most + 1
    terms: list[Condition] = []
    for each in conditions:
        count = _count(connection, each.ids, most)
        if count < least:
            chosen, least = each.ids, count
        if least <= few:
            return chosen, True
        if each.match and count <= most:
            terms.append(each)
    if len(terms) > 1:
        chosen = select(product_terms.c.rowid).where(matching(terms))
        least = _count(connection, chosen, most)
    return chosen, least <= few


def _count(connection: Connection, ids: Ids, most: int) -> int:
    """How many they are; one more than `most` stands for more."""
    return connection.execute(select(func.count()).select_from(ids.limit(most + 1).subquery())).scalar_one()


def _size(connection: Connection) -> int:
    """About how many products there are."""
    return connection.execute(_last_id).scalar_one() or 1
