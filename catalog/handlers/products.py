"""Products: create, read and change them.

Creating, reading and changing handle whole batches, because one statement serves them all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, UnsetType, structs

from bus import FieldError, Refusal, Work
from bus.database import find_all, lock_all
from catalog.contract import (
    AttributesTooLarge,
    CreateProduct,
    GetProduct,
    InsufficientStock,
    PatchProduct,
    Product,
    ProductCreated,
    ProductNotFound,
    ProductUpdated,
    UpdateProduct,
    VersionConflict,
    VersionRequired,
)
from catalog.domain.attributes import MOST_BYTES, size_of
from catalog.handlers.service import catalog, settings
from catalog.storage.changes import Changes
from catalog.storage.product_rows import (
    changed,
    changes_of,
    insert_products,
    is_live,
    next_moment,
    product_of,
    update_products,
)
from catalog.storage.skus import Skus, taken
from catalog.tables import clock, product


@catalog.handles_many(CreateProduct)
def create_product(commands: list[CreateProduct], work: Work) -> Sequence[ProductCreated | Refusal]:
    skus = Skus(work.connection, (command.sku for command in commands))
    firsts: dict[str, CreateProduct] = {}
    new = [
        command
        for command in commands
        if not command.sku
        or (skus.owner_of(command.sku) is None and firsts.setdefault(command.sku, command) is command)
    ]
    made = insert_products(work.connection, new)
    changes = Changes(work)
    for command, each in zip(new, made, strict=True):
        changes.add(each, changed(each), command)
    changes.write()
    if len(new) == len(commands):
        return [ProductCreated(product=each) for each in made]
    by_sku = {each.sku: each.id for each in made}
    in_turn, is_new = iter(made), set(map(id, new))
    return [
        ProductCreated(product=next(in_turn))
        if id(command) in is_new
        else taken(str(command.sku), skus.owner_of(str(command.sku)) or by_sku[str(command.sku)])
        for command in commands
    ]


@catalog.handles_many(GetProduct)
def get_product(queries: list[GetProduct], work: Work) -> Sequence[Product | Refusal]:
    rows = find_all(work.connection, product, product.c.id, [query.product_id for query in queries])
    found = {row.id: product_of(row) for row in rows if is_live(row)}
    return [found.get(query.product_id) or ProductNotFound() for query in queries]


@catalog.handles_many(UpdateProduct)
def update_product(commands: list[UpdateProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    return _update(commands, work)


@catalog.handles_many(PatchProduct)
def patch_product(commands: list[PatchProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    return _update(commands, work)


def _update(commands: Sequence[UpdateProduct], work: Work) -> Sequence[ProductUpdated | Refusal]:
    """Locks the rows in one order, so that two workers never wait for each other; writes each row once."""
    ids = [command.product_id for command in commands]
    rows = {row.id: row for row in lock_all(work.connection, product, product.c.id, ids, clock) if is_live(row)}
    products = {id_: product_of(row) for id_, row in rows.items()}
    skus = Skus(work.connection, (command.sku for command in commands))
    written: dict[int, Product] = {}
    fields: set[str] = set()
    replies: list[ProductUpdated | Refusal] = []
    history = Changes(work)
    for command in commands:
        current = products.get(command.product_id)
        if current is None:
            replies.append(ProductNotFound())
            continue
        changes = changes_of(command, current)
        if (refusal := _refusal_of(command, current, changes, skus)) is not None:
            replies.append(refusal)
            continue
        if changes:
            at = next_moment(current, rows[current.id])
            current = structs.replace(current, **changes, version=current.version + 1, updated_at=at)
            products[current.id] = written[current.id] = current
            fields |= changes.keys()
            history.add(current, changed(current), command)
        replies.append(ProductUpdated(product=current))
    if written:
        update_products(work.connection, [*written.values()], fields, skus.given_away)
        history.write()
    return replies


def _refusal_of(command: UpdateProduct, current: Product, changes: Mapping[str, Any], skus: Skus) -> Refusal | None:
    """Why a change is refused, None if it is not. The last look is for the SKU, which then is that of the product."""
    if (refusal := version_refusal(command.known_version, current.version)) is not None:
        return refusal
    if changes.get("available", 0) < 0:
        reserved = current.quantity - current.available
        detail = f"{reserved} pieces are reserved, so the quantity cannot be less."
        return InsufficientStock(detail, product_id=current.id, available=current.available)
    attributes = changes.get("attributes")
    if attributes and size_of(attributes) > MOST_BYTES:
        return AttributesTooLarge(errors=[FieldError("/attributes", "They become too long.", AttributesTooLarge.code)])
    return skus.move(current.id, current.sku, changes["sku"]) if "sku" in changes else None


def version_refusal(known: int | UnsetType, current: int) -> Refusal | None:
    """Why a change is refused that is meant for this version of a product; None if it is not."""
    if known is UNSET:
        return VersionRequired() if settings().require_if_match else None
    return VersionConflict(version=current) if known != current else None
