"""Pages of rows: filters, orders and cursors, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from msgspec import UNSET, UnsetType
from sqlalchemy import Column, MetaData, Table, Text, delete, insert, select

from bus import InvalidCursor, PageQuery, Reply, page_after
from bus.columns import Id, Money, UtcDateTime
from bus.contract.pages import path_after
from bus.database import Database, RowPage, page_of
from bus.database.engine import Transaction

pytest_plugins = ["bus.testing.fixtures"]


class BookPage(Reply):
    titles: list[str]
    next: str | None


class ListBooks(PageQuery[BookPage], name="shelf.list_books", http="GET /books"):
    author: str | UnsetType = UNSET
    below: Decimal | UnsetType = UNSET
    sort: Literal["id", "-id", "title", "-title", "price", "-price", "bought_at", "-bought_at", "author"] = "id"


book = Table(
    "books",
    MetaData(),
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("title", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("price", Money, nullable=False),
    Column("bought_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)
SORTS = {"title": book.c.title, "price": book.c.price, "bought_at": book.c.bought_at}
FILTERS = {"author": lambda author: book.c.author == author, "below": lambda price: book.c.price < price}
FIRST_DAY = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def transaction(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transaction]:
    """A table of 23 books, many of them with equal values."""
    is_file = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/books.db" if is_file else request.getfixturevalue("database_url"))
    rows = [
        {
            "title": f"Ä {number % 5}",
            "author": "ab"[number % 2],
            "price": Decimal(number % 3) + Decimal("0.10"),
            "bought_at": FIRST_DAY + timedelta(days=number % 4, microseconds=number % 2),
        }
        for number in range(23)
    ]
    with database.transaction() as transaction:
        book.create(transaction.connection)
        transaction.connection.execute(insert(book), rows)
        yield transaction
    database.close()


def _page(transaction: Transaction, query: ListBooks, **options: Any) -> RowPage:
    return page_of(transaction, select(book), query, by=book.c.id, sorts=SORTS, filters=FILTERS, **options)


def _ids(transaction: Transaction, query: ListBooks) -> list[int]:
    """The ids of all pages, in their order."""
    page = _page(transaction, query)
    ids = [row.id for row in page.rows]
    while page.next:
        assert len(page.rows) == query.limit
        page = _page(transaction, page_after(query, page.next))
        ids += [row.id for row in page.rows]
    return ids


@pytest.mark.parametrize("limit", [1, 4, 23, 500])
@pytest.mark.parametrize("sort", ["id", "title", "price", "bought_at"])
def test_all_pages_together_are_the_list_in_its_order(transaction: Transaction, sort: Any, limit: int) -> None:
    rows = transaction.connection.execute(select(book)).all()
    expected = [row.id for row in sorted(rows, key=lambda row: (getattr(row, sort), row.id))]
    assert _ids(transaction, ListBooks(sort=sort, limit=limit)) == expected
    down: Any = f"-{sort}"
    assert _ids(transaction, ListBooks(sort=down, limit=limit)) == expected[::-1]


def test_filters_are_used_where_their_field_has_a_value(transaction: Transaction) -> None:
    rows = transaction.connection.execute(select(book)).all()
    cheap = [row.id for row in rows if row.author == "a" and row.price < Decimal("1.10")]
    assert cheap
    assert _ids(transaction, ListBooks(author="a", below=Decimal("1.1"), limit=3)) == cheap


def test_the_total_counts_all_rows_that_match_on_every_page(transaction: Transaction) -> None:
    first = _page(transaction, query := ListBooks(author="a", limit=5), total=True)
    second = _page(transaction, page_after(query, str(first.next)), total=True)
    assert (first.total, second.total) == (12, 12)
    assert _page(transaction, query).total is UNSET


def test_rows_that_are_written_meanwhile_change_no_other_row_s_page(transaction: Transaction) -> None:
    first = _page(transaction, query := ListBooks(sort="price", limit=10))
    seen = [row.id for row in first.rows]
    transaction.connection.execute(delete(book).where(book.c.id.in_(seen[:3])))
    cheapest = {"title": "new", "author": "a", "price": Decimal(0), "bought_at": FIRST_DAY}
    transaction.connection.execute(insert(book), [cheapest] * 5)
    following = page_after(query, str(first.next))
    while True:
        page = _page(transaction, following)
        seen += [row.id for row in page.rows]
        if page.next is None:
            break
        following = page_after(query, page.next)
    assert sorted(seen) == list(range(1, 24))


def test_an_empty_list_has_one_page(transaction: Transaction) -> None:
    page = _page(transaction, ListBooks(author="nobody"), total=True)
    assert (page.rows, page.next, page.total) == ([], None, 0)


@pytest.mark.parametrize("place", [["x"], [None], [1.5], [1, 2], [[]], [True]])
def test_a_place_that_does_not_fit_the_order_is_refused(transaction: Transaction, place: list[Any]) -> None:
    query = ListBooks()
    with pytest.raises(InvalidCursor):
        _page(transaction, page_after(query, path_after(query, place)))
    prices = msgspec.structs.replace(query, sort="price")
    with pytest.raises(InvalidCursor):
        _page(transaction, page_after(prices, path_after(prices, ["cheap", 1])))


def test_a_sort_without_a_column_is_a_mistake_of_the_handler(transaction: Transaction) -> None:
    with pytest.raises(ValueError, match=r"shelf.list_books has the sort author: give `sorts` a column for author"):
        _page(transaction, ListBooks(sort="author"))
