"""Column types that mean the same on PostgreSQL and SQLite, for the tables of every service.

    Table("orders", metadata, Column("id", Id, primary_key=True), Column("total", Money), Column("at", UtcDateTime))

Services and the library's own tables use them; migrations too.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, Column, DateTime, Dialect, Integer, Numeric, Table, Text
from sqlalchemy.sql.operators import OperatorType, is_, is_not
from sqlalchemy.types import TypeDecorator, TypeEngine

__all__ = ["NOT_READ", "Encrypted", "Id", "Money", "UtcDateTime", "columns_read"]

# For columns that only indexes and conditions use: `Column("words", Text, info=NOT_READ)`. What reads whole rows, such
# as `find_all` and `lock_all`, leaves them out.
NOT_READ: dict[Any, Any] = {"not_read": True}

# A whole number of 64 bits that the database generates for a primary key, or one that refers to such a key. SQLite
# generates ids only in a column of exactly the type INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def columns_read(table: Table) -> list[Column[Any]]:
    """The columns of a table but those marked `NOT_READ`, for `select(*columns_read(table))`."""
    return [column for column in table.c if not column.info.get("not_read")]


class Cipher(Protocol):
    """Encrypts and decrypts what one database keeps."""

    def encrypt(self, text: str) -> str:
        """The text as it is stored; another one each time."""

    def decrypt(self, stored: str) -> str:
        """The text that was stored so."""


# Each open `bus.database.Database` gives its own. A column type learns of nothing else that belongs to one database.
ciphers: WeakKeyDictionary[Dialect, Cipher] = WeakKeyDictionary()


class Encrypted(TypeDecorator[str]):
    """Text that is encrypted in the database, with the keys of its service (`NAME_DATABASE_KEY`): for secrets.

    It is stored differently each time, so SQL can only tell whether there is one: a comparison raises TypeError.
    """

    impl = Text
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[str]):
        """Of the operators, those for null."""

        def operate(self, op: OperatorType, *other: Any, **options: Any) -> Any:
            """Raises TypeError for an operator that would see the stored text."""
            if op not in (is_, is_not):
                raise TypeError("an encrypted column cannot be compared in SQL: read it, and compare in Python")
            return super().operate(op, *other, **options)

    comparator_factory = Comparator

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """A text on its way into the database. Raises DatabaseKeyError."""
        return None if value is None else ciphers[dialect].encrypt(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """A text on its way out. Raises DatabaseKeyError."""
        return None if value is None else ciphers[dialect].decrypt(value)

    def __repr__(self) -> str:
        """As a migration has it."""
        return "Encrypted()"


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
