"""Catalogs of many products, made by one statement: as many as a test or a measurement needs, in seconds."""

from sqlalchemy import Connection, text

# Numbers and names spread over all ids, so that no order of the table is that of another column.
_COLUMNS = "name, price, quantity, version, reserved, sku, tags, updated_ms, sort_name, terms"
_VALUES = """
    'Product ' || n || ' colour' || (n * 7919 % 1000), {price}, CASE WHEN n % 10 = 0 THEN 0 ELSE 5 END, 1, 0, 'S-' || n,
    CASE WHEN n % 50 = 0 THEN '["sale"]' END, 1700000000000 + n * 7919 % :count * 1000,
    'product ' || n || ' colour' || (n * 7919 % 1000),
    'product ' || n || ' colour' || (n * 7919 % 1000) || ' s' || CASE WHEN n % 50 = 0 THEN ' \ue000sale' ELSE '' END
"""
_NUMBERS = {
    "postgresql": "SELECT n FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS g(n)",
    "sqlite": (
        "WITH RECURSIVE numbers(value) AS (SELECT :first UNION ALL SELECT value + 1 FROM numbers WHERE value < :last) "
        "SELECT value AS n FROM numbers"
    ),
}
_PRICES = {"postgresql": "(n * 104729 % 1000000) / 100.0", "sqlite": "n * 104729 % 1000000"}


# A statement that takes longer than half a minute is given up.
_AT_ONCE = 100_000


def insert_many(connection: Connection, count: int) -> None:
    """Insert products into an empty catalog. They cost 0.00 to 9999.99; a tenth is sold out, and a fiftieth on sale."""
    kind = connection.dialect.name
    values = _VALUES.format(price=_PRICES[kind])
    insert = text(f"INSERT INTO products ({_COLUMNS}) SELECT {values} FROM ({_NUMBERS[kind]}) AS all_numbers")
    for first in range(1, count + 1, _AT_ONCE):
        last = min(count, first + _AT_ONCE - 1)
        connection.execute(insert, {"count": count, "first": first, "last": last})
    if kind == "postgresql":
        connection.execute(text("ANALYZE products"))
