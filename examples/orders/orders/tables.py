"""The tables of orders."""

from bus.columns import Id, Money, UtcDateTime
from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()

order = Table(
    "orders",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("status", Text, nullable=False),
    # 50 lines of 10,000 pieces at the highest price of the catalog.
    Column("total", Money(digits=18), nullable=False),
    Column("placed_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    # The catalog's, and no reservation has two orders.
    Column("reservation_id", Id, nullable=False, unique=True),
    sqlite_autoincrement=True,
)

order_line = Table(
    "order_lines",
    metadata,
    Column("order_id", Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("product_id", Id, nullable=False),
    Column("name", Text, nullable=False),
    Column("unit_price", Money, nullable=False),
    Column("quantity", Integer, nullable=False),
)
