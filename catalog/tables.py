"""The tables of the catalog."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bus.columns import Id, Money

metadata = MetaData()


class now_ms(FunctionElement[int]):  # noqa: N801  # an SQL function
    """The database's clock, in milliseconds since 1970; it goes on within a transaction."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "postgresql")
def _now_of_postgresql(*_: object, **__: object) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


@compiles(now_ms, "sqlite")
def _now_of_sqlite(*_: object, **__: object) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000.0 AS integer)"


# To read with rows that are locked.
clock = now_ms().label("now")

# `tags` and `attributes` are JSON. What a product does not have is NULL. `updated_ms` is by the database's clock, in
# milliseconds since 1970; 0 stands for a row of the release that did not have it.
product = Table(
    "products",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("price", Money, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reserved", Integer, nullable=False, server_default="0"),
    Column("sku", Text),
    Column("tags", Text),
    Column("description", Text),
    Column("attributes", Text),
    Column("updated_ms", BigInteger, nullable=False, default=now_ms(), server_default="0"),
    Index("products_sku", "sku", unique=True),
    sqlite_autoincrement=True,
)

# `state` is held, committed, released or expired. `expires_ms` is as `updated_ms`.
reservation = Table(
    "reservations",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
is_held = reservation.c.state == literal_column("'held'")
Index("reservations_held", reservation.c.expires_ms, postgresql_where=is_held, sqlite_where=is_held)

# The pieces that a reservation holds, in the order of the request. A product that is gone keeps its lines.
reservation_line = Table(
    "reservation_lines",
    metadata,
    Column("reservation_id", Id, ForeignKey(reservation.c.id), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("product_id", BigInteger, nullable=False),
    Column("quantity", Integer, nullable=False),
)
