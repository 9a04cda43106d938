"""Products: create, read, list, change and delete them.

Creating, reading and changing handle whole batches, because one statement serves them all. The others handle one
request each, as most handlers do.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType, convert, structs
from sqlalchemy import Row, bindparam, delete, select

from bus import Refusal, Work
from bus.database import find_all, insert_all, lock_all, page_of, update_each
from catalog.contract import (
    CreateProduct,
    DeleteProduct,
    GetProduct,
    InsufficientStock,
    ListProducts,
    PatchProduct,
    Product,
    ProductChanged,
    ProductCreated,
    ProductDeleted,
    ProductNotFound,
    ProductPage,
    ProductRemoved,
    ProductUpdated,
    UpdateProduct,
    VersionConflict,
    VersionRequired,
)
from catalog.domain.money import CENT
from catalog.handlers.service import catalog, settings
from catalog.tables import product

_delete = delete(product).where(product.c.id == bindparam("product_id"))
_all = select(product)


@catalog.handles_many(CreateProduct)
def create_product(commands: list[CreateProduct], work: Work) -> Sequence[ProductCreated | Refusal]:
    rows = [
        {"name": command.name, "price": command.price.quantize(CENT), "quantity": command.quantity, "version": 1}
        for command in commands
    ]
    ids = insert_all(work.connection, product, rows, returning=product.c.id)
    products = [
        convert({"id": id_, "available": row["quantity"], **row}, Product) for id_, row in zip(ids, rows, strict=True)
    ]
    for command, each in zip(commands, products, strict=True):
        work.emit(convert(each, ProductChanged, from_attributes=True), command)
    return [ProductCreated(product=each) for each in products]


@catalog.handles_many(GetProduct)
def get_product(queries: list[GetProduct], work: Work) -> Sequence[Product | Refusal]:
    rows = find_all(work.connection, product, product.c.id, [query.product_id for query in queries])
    found = {row.id: product_of(row) for row in rows}
    return [found.get(query.product_id) or ProductNotFound() for query in queries]


@catalog.handles(ListProducts)
def list_products(query: ListProducts, work: Work) -> ProductPage:
    page = page_of(work, _all, query, by=product.c.id)
    return ProductPage(products=[product_of(row) for row in page.rows], next=page.next)


@catalog.handles_many(UpdateProduct)
def update_product(commands: list[UpdateProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    return _update(commands, work)


@catalog.handles_many(PatchProduct)
def patch_product(commands: list[PatchProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    return _update(commands, work)


def _update(commands: Sequence[UpdateProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    """Locks the rows in one order, so that two workers never wait for each other; writes each row once."""
    rows = lock_all(work.connection, product, product.c.id, [command.product_id for command in commands])
    products = {row.id: product_of(row) for row in rows}
    changed: dict[int, Product] = {}
    replies: list[ProductUpdated | Refusal] = []
    for command in commands:
        current = products.get(command.product_id)
        if current is None:
            replies.append(ProductNotFound())
            continue
        if (refusal := _version_refusal(command.known_version, current.version)) is not None:
            replies.append(refusal)
            continue
        if changes := _changes(command):
            reserved = current.quantity - current.available
            available = changes.get("quantity", current.quantity) - reserved
            if available < 0:
                detail = f"{reserved} pieces are reserved, so the quantity cannot be less."
                replies.append(InsufficientStock(detail, product_id=current.id, available=current.available))
                continue
            current = structs.replace(current, **changes, available=available, version=current.version + 1)
            products[current.id] = changed[current.id] = current
            work.emit(convert(current, ProductChanged, from_attributes=True), command)
        replies.append(ProductUpdated(product=current))
    if changed:
        update_each(work.connection, product, product.c.id, [_row(each) for each in changed.values()])
    return replies


@catalog.handles(DeleteProduct)
def delete_product(command: DeleteProduct, work: Work) -> ProductDeleted:
    rows = lock_all(work.connection, product, product.c.id, [command.product_id])
    if not rows:
        raise ProductNotFound
    version = rows[0].version
    if (refusal := _version_refusal(command.expected_version, version)) is not None:
        raise refusal
    work.connection.execute(_delete, {"product_id": command.product_id})
    work.emit(ProductRemoved(id=command.product_id, version=version + 1))
    return ProductDeleted()


def _version_refusal(known: int | UnsetType, current: int) -> Refusal | None:
    """Why a change is refused that is meant for this version of a product; None if it is not."""
    if known is UNSET:
        return VersionRequired() if settings().require_if_match else None
    return VersionConflict(version=current) if known != current else None


def _changes(command: UpdateProduct) -> dict[str, Any]:
    price = command.price if command.price is UNSET else command.price.quantize(CENT)
    given = {"name": command.name, "price": price, "quantity": command.quantity}
    return {name: value for name, value in given.items() if value is not UNSET}


def product_of(row: Row[Any]) -> Product:
    """The product in a row of its table."""
    return Product(
        id=row.id,
        name=row.name,
        price=row.price,
        quantity=row.quantity,
        available=row.quantity - row.reserved,
        version=row.version,
    )


def _row(changed: Product) -> dict[str, Any]:
    row = structs.asdict(changed)
    del row["available"]  # it follows from the pieces that are reserved, which do not change here
    return row
