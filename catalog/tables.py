"""The tables of the catalog."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, Numeric, Table, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from catalog.domain.money import CENT, DIGITS, PLACES

metadata = MetaData()


class Money(TypeDecorator[Decimal]):
    """Exact amounts with two places: NUMERIC in PostgreSQL, whole cents in SQLite, which has no decimal type."""

    impl = Numeric(DIGITS, PLACES)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column type for this database."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else Numeric(DIGITS, PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Convert an amount to what the database stores."""
        return int(value / CENT) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Convert what the database stores to an amount."""
        return CENT * value if value is not None and dialect.name == "sqlite" else value


# SQLite generates ids only in a column of exactly this type.
Id = BigInteger().with_variant(Integer, "sqlite")

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
