"""The tables of the catalog."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    literal_column,
)
from sqlalchemy.dialects.postgresql import TEXT, TSVECTOR
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bus.columns import NOT_READ, Id, Money

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


# Compared by its characters' numbers on both databases.
SortText = Text().with_variant(TEXT(collation="C"), "postgresql")

# To read with rows that are locked.
clock = now_ms().label("now")

# `tags` and `attributes` are JSON. What a product does not have is NULL. `updated_ms` is by the database's clock, in
# milliseconds since 1970; 0 stands for a row of the release that did not have it. `sort_name` and `terms` are what
# `catalog.domain.words` makes of a product, for lists; a release without lists leaves `terms` NULL. On SQLite triggers
# keep them in the full text index `product_terms`. A deleted product has `deleted_ms`, as `updated_ms`, and its SKU in
# `deleted_sku`, so that another may have it.
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
    Column("sort_name", SortText, nullable=False, server_default="", info=NOT_READ),
    Column("terms", Text, info=NOT_READ),
    Column("deleted_ms", BigInteger),
    Column("deleted_sku", Text),
    Index("products_sku", "sku", unique=True),
    Index("products_price", "price", "id"),
    Index("products_sort_name", "sort_name", "id"),
    Index("products_updated", "updated_ms", "id"),
    sqlite_autoincrement=True,
)
is_deleted = product.c.deleted_ms.is_not(None)
Index("products_deleted", product.c.deleted_ms, postgresql_where=is_deleted, sqlite_where=is_deleted)

# Each version of each product as it was made, in the order of the changes: `event`, its id and its `reason` are what
# was emitted, `made_by` the account. The others are as in `products`; of a version that deleted the product they are
# what it had, and NULL once it is purged.
history = Table(
    "product_history",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("product_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("reason", Text),
    Column("made_by", Text),
    Column("name", Text),
    Column("price", Money),
    Column("quantity", Integer),
    Column("reserved", Integer),
    Column("sku", Text),
    Column("tags", Text),
    Column("description", Text),
    Column("attributes", Text),
    Column("updated_ms", BigInteger, nullable=False),
    Index("product_history_version", "product_id", "version", unique=True),
    sqlite_autoincrement=True,
)

is_in_stock = product.c.quantity > product.c.reserved
is_sold_out = product.c.quantity <= product.c.reserved
has_no_terms = product.c.terms.is_(None)
for _name, _condition in (("in_stock", is_in_stock), ("sold_out", is_sold_out), ("without_terms", has_no_terms)):
    Index(f"products_{_name}", product.c.id, postgresql_where=_condition, sqlite_where=_condition)
# Of PostgreSQL alone, which generates it of `terms`, so that no search has to compute it.
term_vector: ColumnElement[Any] = literal_column("term_vector", TSVECTOR())
# Kilobytes of new rows that are not sorted into the index yet. Each search reads them all.
PENDING = {"gin_pending_list_limit": 256}
Index("products_terms", term_vector, postgresql_using="gin", postgresql_with=PENDING, _table=product).ddl_if(
    dialect="postgresql"
)

# Of SQLite alone. It is no table that migrations compare.
product_terms = Table("product_terms", MetaData(), Column("rowid", Integer, primary_key=True))

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
