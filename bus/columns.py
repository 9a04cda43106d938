"""Column types that mean the same on PostgreSQL and SQLite, for the tables of every service.

    Table("orders", metadata, Column("id", Id, primary_key=True), Column("total", Money), Column("at", UtcDateTime))

Services and the library's own tables use them; migrations too.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Dialect, Integer, Numeric, Table
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["NOT_READ", "Id", "Money", "UtcDateTime", "columns_read"]

# For columns that only indexes and conditions use: `Column("words", Text, info=NOT_READ)`. What reads whole rows, such
# as `find_all` and `lock_all`, leaves them out.
NOT_READ: dict[Any, Any] = {"not_read": True}

# A whole number of 64 bits that the database generates for a primary key, or one that refers to such a key. SQLite
# generates ids only in a column of exactly the type INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def columns_read(table: Table) -> list[Column[Any]]:
    """The columns of a table but those marked `NOT_READ`, for `select(*columns_read(table))`."""
    return [column for column in table.c if not column.info.get("not_read")]


class Money(TypeDecorator[Decimal]):
    """Exact amounts with `places` digits after the decimal point, of at most `digits` digits together.

    NUMERIC in PostgreSQL; in SQLite, which has no decimal type, whole numbers of the smallest unit (cents). So both
    store, compare and add up amounts without rounding.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, places: int = 2, digits: int = 12) -> None:
        super().__init__(digits, places)
        self.places, self.digits = places, digits
        self._unit = Decimal(1).scaleb(-places)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column type for this database."""
        stored = BigInteger() if dialect.name == "sqlite" else Numeric(self.digits, self.places)
        return dialect.type_descriptor(stored)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """An amount on its way into the database. Raises ValueError for one with more places than the column."""
        if value is None:
            return None
        amount = Decimal(value).quantize(self._unit)
        if amount != value:
            raise ValueError(f"{value} has more than {self.places} digits after the decimal point: round it first")
        return int(amount / self._unit) if dialect.name == "sqlite" else amount

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """An amount on its way out, with exactly `places` digits after the decimal point."""
        return self._unit * value if value is not None and dialect.name == "sqlite" else value

    def __repr__(self) -> str:
        """As a migration has it."""
        return f"Money(places={self.places}, digits={self.digits})"


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware and in UTC on both databases; SQLite keeps times without their zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """A moment on its way into the database. Raises ValueError for one without a zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """A moment on its way out."""
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value and value.astimezone(UTC)

    def __repr__(self) -> str:
        """As a migration has it."""
        return "UtcDateTime()"
