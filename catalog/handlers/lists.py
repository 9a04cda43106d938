"""Lists: a page of products by search, filters and order, in about the same time however many products there are."""

from typing import Any

from msgspec import UNSET, UnsetType, structs
from sqlalchemy import Connection, Select, func, select

from bus import Work
from bus.columns import columns_read
from bus.database import page_of, update_each
from catalog.contract import ListProducts, ProductPage
from catalog.handlers.service import catalog
from catalog.storage.list_conditions import SORTS, Condition, conditions_of, finds_nothing
from catalog.storage.list_plans import counted_on_sqlite, rows_on_sqlite
from catalog.storage.product_rows import found_by, product_of
from catalog.tables import has_no_terms, is_deleted, product

# Between two looks for products of a release that does not make terms, and for how many they are made together.
TERMS_SECONDS = 5.0
MOST_WITHOUT_TERMS = 500

_columns = (*columns_read(product), product.c.sort_name)
_without_terms = select(*columns_read(product)).where(has_no_terms).order_by(product.c.id)


@catalog.handles(ListProducts)
def list_products(query: ListProducts, work: Work) -> ProductPage:
    if finds_nothing(query):
        return ProductPage(products=[], next=None, total=0 if query.total else UNSET)
    conditions, connection = conditions_of(query), work.connection
    rows: Select[Any] = select(*_columns)
    if query.include_deleted is not True:
        rows = rows.where(~is_deleted)
    if connection.dialect.name == "sqlite":
        rows, by = rows_on_sqlite(connection, rows, query, conditions)
    else:
        rows, by = rows.where(*(each.indexed for each in conditions)), product.c.id
    page = page_of(work, rows, query, by=by, sorts={**SORTS, "id": by})
    total: int | UnsetType = UNSET
    if query.total:
        total = _count(connection, conditions, with_deleted=query.include_deleted is True)
    return ProductPage(products=[product_of(row) for row in page.rows], next=page.next, total=total)


@catalog.every(TERMS_SECONDS, when=_without_terms)
def make_terms(work: Work) -> None:
    """Make the terms of products that the release before has made, while it still runs."""
    rows = work.connection.execute(_without_terms.limit(MOST_WITHOUT_TERMS).with_for_update(skip_locked=True)).all()
    found = [{"id": row.id, **found_by(structs.asdict(product_of(row)))} for row in rows]
    if found:
        update_each(work.connection, product, product.c.id, found)


def _count(connection: Connection, conditions: list[Condition], *, with_deleted: bool) -> int | UnsetType:
    found: Select[tuple[int]] = select(product.c.id).where(*(each.indexed for each in conditions))
    if connection.dialect.name == "sqlite":
        found = counted_on_sqlite(connection, conditions)
    if not with_deleted:
        found = select(product.c.id).where(product.c.id.in_(found), ~is_deleted)
    return connection.execute(select(func.count()).select_from(found.subquery())).scalar_one()
