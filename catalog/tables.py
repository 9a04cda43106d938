"""The tables of the catalog."""

from sqlalchemy import Column, Integer, MetaData, Table, Text

from bus.columns import Id, Money

metadata = MetaData()

product = Table(
    "products",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("price", Money, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    sqlite_autoincrement=True,
)
