"""Products as rows of their table."""

from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType, structs
from sqlalchemy import Connection, Row

from bus.database import insert_all, update_all, update_each
from catalog.contract import CreateProduct, PatchProduct, Product, ProductChanged, UpdateProduct
from catalog.domain.attributes import merged
from catalog.domain.moments import milliseconds, moment
from catalog.domain.money import from_column, to_column
from catalog.domain.words import sort_key, terms_of
from catalog.tables import product

# Columns of what a product need not have. A statement has only those of them that it needs.
OPTIONAL = ("sku", "tags", "description", "attributes")

# Fields whose words a product is found by.
SEARCHED = ("name", "sku", "tags", "description")

_json = msgspec.json.Decoder()
_made = (product.c.id, product.c.updated_ms)


def product_of(row: Row[Any]) -> Product:
    """The product in a row of its table, which may be a deleted one."""
    found = version_of(row, row.id)
    if row.deleted_ms is None:
        return found
    sku = UNSET if row.deleted_sku is None else row.deleted_sku
    return structs.replace(found, sku=sku, deleted_at=moment(row.deleted_ms))


def is_live(row: Row[Any]) -> bool:
    """Whether the product in a row was not deleted."""
    return row.deleted_ms is None


def version_of(row: Row[Any], product_id: int) -> Product:
    """The product in a row that has what a product had in one of its versions."""
    return Product(
        id=product_id,
        name=row.name,
        price=from_column(row.price),
        quantity=row.quantity,
        available=row.quantity - row.reserved,
        version=row.version,
        sku=UNSET if row.sku is None else row.sku,
        tags=UNSET if row.tags is None else _json.decode(row.tags),
        description=UNSET if row.description is None else row.description,
        attributes=UNSET if row.attributes is None else _json.decode(row.attributes),
        updated_at=moment(row.updated_ms),
    )


def changed(current: Product) -> ProductChanged:
    """The event with all that a product is now."""
    return ProductChanged(**shown(current))


def shown(current: Product) -> dict[str, Any]:
    """The fields of a product that is not deleted, as its events have them."""
    fields = structs.asdict(current)
    del fields["deleted_at"]
    return fields


def changes_of(command: UpdateProduct, current: Product) -> dict[str, Any]:
    """The fields that a command changes, with their new values; `available` follows the quantity."""
    changes: dict[str, Any] = {}
    if command.name is not UNSET:
        changes["name"] = command.name
    if command.price is not UNSET:
        changes["price"] = from_column(to_column(command.price))
    if command.quantity is not UNSET:
        changes |= {"quantity": command.quantity, "available": current.available + command.quantity - current.quantity}
    if command.sku is not UNSET:
        changes["sku"] = command.sku or UNSET
    if command.tags is not UNSET:
        changes["tags"] = tags_of(command.tags)
    if command.description is not UNSET:
        changes["description"] = command.description or UNSET
    if command.attributes is not UNSET:
        given = command.attributes
        if given is not None and isinstance(command, PatchProduct):
            given = merged(current.attributes or {}, given)
        changes["attributes"] = given or UNSET
    return changes


def next_moment(current: Product, row: Row[Any]) -> datetime:
    """When a change is made of a product whose row was locked with the clock: never before the change before it."""
    now = moment(row.now)
    return now if current.updated_at is UNSET else max(now, current.updated_at)


def tags_of(given: Sequence[str] | UnsetType | None) -> list[str] | UnsetType:
    """Each tag once, in their order; UNSET if there is none."""
    return list(dict.fromkeys(given)) if given else UNSET


def insert_products(connection: Connection, commands: Sequence[CreateProduct]) -> list[Product]:
    """Write new products, with one statement."""
    if not commands:
        return []
    fields = [_fields_of(command) for command in commands]
    optional = given_of(fields)
    rows = [{**columns_of(each, optional), **found_by(each)} for each in fields]
    made = insert_all(connection, product, rows, returning=_made)
    return [
        Product(id=id_, available=each["quantity"], updated_at=moment(updated_ms), **each)
        for each, (id_, updated_ms) in zip(fields, made, strict=True)
    ]


def update_products(
    connection: Connection, products: Sequence[Product], changes: Container[str], freed_skus: Iterable[int] = ()
) -> None:
    """Write products again, with one statement. `changes` are the fields that have changed in any of them.

    `freed_skus` are the ids of those whose SKU another one gets: they give it away first, because the unique index
    looks at one row after the other.
    """
    if freed := list(freed_skus):
        update_all(connection, product, product.c.id, freed, {"sku": None})
    optional = [name for name in OPTIONAL if name in changes]
    is_found_otherwise = any(name in changes for name in SEARCHED)
    rows = []
    for each in products:
        fields = structs.asdict(each)
        found = found_by(fields) if is_found_otherwise else {}
        rows.append(
            {"id": each.id, "updated_ms": milliseconds(fields["updated_at"]), **columns_of(fields, optional), **found}
        )
    update_each(connection, product, product.c.id, rows)


def found_by(fields: Mapping[str, Any]) -> dict[str, str]:
    """The columns that a product with these fields is found and sorted by."""
    texts = (fields["name"], fields["sku"] or "", fields["description"] or "")
    return {"sort_name": sort_key(fields["name"]), "terms": terms_of(texts, fields["tags"] or ())}


def _fields_of(command: CreateProduct) -> dict[str, Any]:
    return {
        "name": command.name,
        "price": from_column(to_column(command.price)),
        "quantity": command.quantity,
        "version": 1,
        "sku": command.sku or UNSET,
        "tags": tags_of(command.tags),
        "description": command.description or UNSET,
        "attributes": command.attributes or UNSET,
    }


def given_of(products: Sequence[Mapping[str, Any]]) -> list[str]:
    """The optional fields that any of these products has, each given by its fields."""
    return [name for name in OPTIONAL if any(each[name] is not UNSET for each in products)]


def columns_of(fields: Mapping[str, Any], optional: Iterable[str]) -> dict[str, Any]:
    """The columns of a product with these fields, and of the optional ones only these."""
    row = {
        "name": fields["name"],
        "price": to_column(fields["price"]),
        "quantity": fields["quantity"],
        "version": fields["version"],
    }
    for name in optional:
        value = fields[name]
        is_json = name in ("tags", "attributes") and value is not UNSET
        row[name] = None if value is UNSET else msgspec.json.encode(value).decode() if is_json else value
    return row
