"""The tables of feed."""

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, Table, Text

metadata = MetaData()

# SQLite generates ids only in a column of exactly this type.
Id = BigInteger().with_variant(Integer, "sqlite")

entry = Table(
    "entries",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("noted_at", DateTime(timezone=True), nullable=False),
    sqlite_autoincrement=True,
)
Index("entries_of_thing", entry.c.kind, entry.c.id, entry.c.number)
