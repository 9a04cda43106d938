"""The products of all peers: the tutorial's table, with its insert and its select."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Numeric, Row, Select, Table, Text, select
from sqlalchemy.sql.dml import ReturningInsert

# As many connections to the database, and calls at the same time, as there are clients.
CLIENTS = 16

metadata = MetaData()
products = Table(
    "products",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("price", Numeric(12, 2), nullable=False),
    Column("quantity", Integer, nullable=False),
)


def inserted(data: Mapping[str, Any]) -> ReturningInsert[Any]:
    """The statement that creates a product and returns its row."""
    values = {"name": data["name"], "price": data["price"], "quantity": data["quantity"]}
    return products.insert().values(values).returning(products)


def selected(product_id: int) -> Select[Any]:
    """The statement that reads a product."""
    return select(products).where(products.c.id == product_id)


def product(row: Row[Any] | None) -> dict[str, Any] | None:
    """A product as JSON has it; None for none."""
    return row and {"id": row.id, "name": row.name, "price": float(row.price), "quantity": row.quantity}
