"""Deletion: products leave the catalog, come back, or are gone for good after some days.

A deleted product keeps its row, and its SKU in another column, so that another product may have it. When it is purged,
the row goes, and with it its history but for the last deletion, without what the product was: a replay of all events
then still has listeners remove it.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, structs
from sqlalchemy import BigInteger, ColumnElement, Row, bindparam, delete, select, tuple_, update

from bus import Refusal, Work
from bus.database import find_all, lock_all, update_each
from catalog.contract import (
    DeleteProduct,
    Product,
    ProductDeleted,
    ProductNotFound,
    ProductRemoved,
    ProductRestored,
    RestoredProduct,
    RestoreProduct,
)
from catalog.domain.moments import milliseconds
from catalog.handlers.products import version_refusal
from catalog.handlers.service import catalog, settings
from catalog.storage.changes import Changes
from catalog.storage.product_rows import OPTIONAL, is_live, next_moment, product_of, shown
from catalog.storage.skus import taken
from catalog.tables import clock, history, is_deleted, now_ms, product

# Between two looks for products to purge, and how many are purged together.
PURGE_SECONDS = 30.0
MOST_PURGED = 50

_DAY_MS = 24 * 60 * 60 * 1000
_kept_ms = bindparam("kept_ms", type_=BigInteger, callable_=lambda: settings().keep_deleted_days * _DAY_MS)
_is_due: ColumnElement[bool] = product.c.deleted_ms <= select(now_ms() - _kept_ms).scalar_subquery()
_due = select(product.c.id).where(is_deleted, _is_due).order_by(product.c.deleted_ms)


@catalog.handles_many(DeleteProduct)
def delete_product(commands: list[DeleteProduct], work: Work) -> Sequence[ProductDeleted | Refusal]:
    """Locks the products in one order, and writes all with one statement."""
    rows = _locked(work, [command.product_id for command in commands])
    live = {id_: product_of(row) for id_, row in rows.items() if is_live(row)}
    replies: list[ProductDeleted | Refusal] = []
    deleted: list[Product] = []
    changes = Changes(work)
    for command in commands:
        if (current := live.get(command.product_id)) is None:
            replies.append(ProductNotFound())
        elif (refusal := version_refusal(command.expected_version, current.version)) is not None:
            replies.append(refusal)
        else:
            del live[current.id]
            at = next_moment(current, rows[current.id])
            deleted.append(structs.replace(current, version=current.version + 1, updated_at=at, deleted_at=at))
            changes.add(deleted[-1], ProductRemoved(id=current.id, version=deleted[-1].version), command)
            replies.append(ProductDeleted())
    _write(work, deleted)
    changes.write()
    return replies


@catalog.handles(RestoreProduct)
def restore_product(command: RestoreProduct, work: Work) -> RestoredProduct:
    row = _locked(work, [command.product_id]).get(command.product_id)
    if row is None:
        raise ProductNotFound
    current = product_of(row)
    if is_live(row):
        return RestoredProduct(product=current)
    if current.sku is not UNSET and (owners := find_all(work.connection, product, product.c.sku, [current.sku])):
        raise taken(current.sku, owners[0].id, "/product_id")
    at = next_moment(current, row)
    current = structs.replace(current, version=current.version + 1, updated_at=at, deleted_at=UNSET)
    _write(work, [current])
    changes = Changes(work)
    changes.add(current, ProductRestored(**shown(current)))
    changes.write()
    return RestoredProduct(product=current)


@catalog.every(PURGE_SECONDS, when=_due)
def purge_products(work: Work) -> None:
    """Remove products for good that were deleted CATALOG_KEEP_DELETED_DAYS ago."""
    due = work.connection.execute(_due.limit(MOST_PURGED)).scalars().all()
    lock_all(work.connection, product, product.c.id, due)
    # Again, because one may have been restored until it was locked.
    rows = work.connection.execute(select(product.c.id, product.c.version).where(product.c.id.in_(due), _is_due)).all()
    if not rows:
        return
    ids = [row.id for row in rows]
    is_last = tuple_(history.c.product_id, history.c.version).in_([tuple(row) for row in rows])
    work.connection.execute(delete(history).where(history.c.product_id.in_(ids), ~is_last))
    emptied = dict.fromkeys(("name", "price", "quantity", "reserved", *OPTIONAL))
    work.connection.execute(update(history).where(history.c.product_id.in_(ids)).values(emptied))
    work.connection.execute(delete(product).where(product.c.id.in_(ids)))


def _locked(work: Work, ids: Sequence[int]) -> dict[int, Row[Any]]:
    return {row.id: row for row in lock_all(work.connection, product, product.c.id, ids, clock)}


def _write(work: Work, products: Sequence[Product]) -> None:
    """Write that products were deleted or restored."""
    if products:
        update_each(work.connection, product, product.c.id, [_columns_of(each) for each in products])


def _columns_of(current: Product) -> dict[str, Any]:
    sku = None if current.sku is UNSET else current.sku
    is_gone = current.deleted_at is not UNSET
    return {
        "id": current.id,
        "version": current.version,
        "updated_ms": 0 if current.updated_at is UNSET else milliseconds(current.updated_at),
        "deleted_ms": milliseconds(current.deleted_at) if current.deleted_at is not UNSET else None,
        "sku": None if is_gone else sku,
        "deleted_sku": sku if is_gone else None,
    }
