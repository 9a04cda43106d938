"""Lists of a hundred thousand products: no query of them reads them all."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from support.executing import execute
from support.plans import instructions_of, plan_of, statements_of_this_block

from bench.many_products import insert_many
from bus import page_after
from bus.database.engine import Database
from bus.database.migrate import migrate
from catalog.contract import GetProduct, ListProducts
from catalog.handlers import catalog

COUNT = 100_000
# SQLite executes at least four instructions for each row that it reads.
MOST_INSTRUCTIONS = 3 * COUNT
# Each column, and both directions.
SORTS = ("id", "-id", "name", "-price", "updated_at")
HALF = datetime.fromtimestamp(1_700_000_000 + COUNT / 2, UTC)
LATE = datetime.fromtimestamp(1_700_000_000 + COUNT - 50, UTC)
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "one word of all": {"q": "prod"},
    "a word of few": {"q": "colour77"},
    "a word of one": {"q": "4711"},
    "a word of none": {"q": "nothing"},
    "a tag": {"tag": "sale"},
    "a SKU": {"sku": "S-4711"},
    "half of the prices": {"min_price": Decimal(5000)},
    "few prices": {"max_price": Decimal("9.99")},
    "in stock": {"in_stock": True},
    "sold out": {"in_stock": False},
    "half of the moments": {"updated_since": HALF},
    "the last moments": {"updated_since": LATE},
    "two words": {"q": "prod colour7"},
    "a word and a tag": {"q": "colour77", "tag": "sale"},
    "several": {"q": "prod", "in_stock": True, "min_price": Decimal(100)},
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A large catalog, of both kinds in turn."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path_factory.mktemp('large')}/x.db")
    else:
        made = Database(request.getfixturevalue("postgres").fresh_database())
    migrate(made, "catalog.migrations")
    with made.transaction() as transaction:
        insert_many(transaction.connection, COUNT)
    yield made
    made.close()


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("filters", FILTERS)
def test_a_page_is_found_without_reading_all_products(database: Database, filters: str, sort: Any) -> None:
    query = ListProducts(sort=sort, **FILTERS[filters])
    page = _check(database, query)
    if page["next"]:
        _check(database, page_after(query, page["next"]))


def test_a_product_is_found_without_reading_all(database: Database) -> None:
    _check(database, GetProduct(product_id=COUNT // 2))


def test_a_scan_would_be_seen(database: Database) -> None:
    with database.reading() as transaction:
        statement = "SELECT count(*) FROM products WHERE length(description) = 1"
        if database.kind == "postgresql":
            assert "Seq Scan" in plan_of(transaction.connection, statement, {})
        else:
            assert instructions_of(transaction.connection, statement, ()) > MOST_INSTRUCTIONS


def _check(database: Database, query: Any) -> dict[str, Any]:
    """The answer to a query none of whose statements reads all rows."""
    with statements_of_this_block() as seen:
        ((status, body),) = execute(catalog, database, query)
    assert status == 200
    assert any("products" in statement for statement, _ in seen)
    with database.reading() as transaction:
        for statement, parameters in seen:
            if database.kind == "postgresql":
                plan = plan_of(transaction.connection, statement, parameters)
                assert "Seq Scan" not in plan, f"{statement}\n{plan}"
            else:
                count = instructions_of(transaction.connection, statement, parameters)
                assert count <= MOST_INSTRUCTIONS, statement
    return body
