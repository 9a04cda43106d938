"""The tables of feed."""

from bus.columns import Id, UtcDateTime
from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text

metadata = MetaData()

entry = Table(
    "entries",
    metadata,
    Column("number", Id, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("noted_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
Index("entries_of_thing", entry.c.kind, entry.c.id, entry.c.number)
