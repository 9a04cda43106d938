"""Pages: cursors are bound to their query, and lead on from where a page ended."""

import base64
from decimal import Decimal
from typing import Literal

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from bus import InvalidCursor, PageQuery, Query, Reply, page_after
from bus.contract.pages import path_after, place_in


class BookPage(Reply):
    titles: list[str]
    next: str | None


class ListBooks(PageQuery[BookPage], name="shelf.list_books", http="GET /shelves/{shelf}/books"):
    shelf: str
    author: str | UnsetType = UNSET
    below: Decimal | None = None
    lent: bool | UnsetType = UNSET
    sort: Literal["id", "-id", "title"] = "id"


class ListLoans(PageQuery[BookPage], name="shelf.list_loans"):
    """Without a route."""


def test_the_path_of_the_next_page_repeats_the_query() -> None:
    query = ListBooks(shelf="a/b", author="Tolkien & Sons", below=Decimal("9.90"), lent=True, limit=5)
    path = path_after(query, [7])
    begin, _, cursor = path.partition("&cursor=")
    assert begin == "/shelves/a%2Fb/books?limit=5&author=Tolkien+%26+Sons&below=9.90&lent=true&sort=id"
    assert "&" not in cursor
    following = page_after(query, path)
    assert place_in(following) == [7]
    assert msgspec.structs.replace(following, cursor=UNSET) == query


def test_a_query_without_a_route_has_the_next_page_as_a_query_string() -> None:
    path = path_after(ListLoans(), [1])
    assert path.startswith("?limit=100&cursor=")
    assert place_in(page_after(ListLoans(), path)) == [1]


def test_without_a_cursor_a_page_begins_at_the_first_row() -> None:
    assert place_in(ListLoans()) == []


def test_a_page_may_have_another_size_than_the_one_before() -> None:
    query = ListBooks(shelf="a", limit=5)
    following = msgspec.structs.replace(page_after(query, path_after(query, [7])), limit=50)
    assert place_in(following) == [7]


@pytest.mark.parametrize(
    "other",
    [{"sort": "-id"}, {"sort": "title"}, {"author": "x"}, {"shelf": "b"}, {"lent": False}, {"below": Decimal(1)}],
)
def test_a_cursor_of_another_query_is_refused(other: dict[str, object]) -> None:
    query = ListBooks(shelf="a")
    following = page_after(query, path_after(query, [7]))
    with pytest.raises(InvalidCursor):
        place_in(msgspec.structs.replace(following, **other))


def test_a_cursor_of_another_operation_is_refused() -> None:
    cursor = page_after(ListLoans(), path_after(ListLoans(), [7])).cursor
    with pytest.raises(InvalidCursor):
        place_in(ListBooks(shelf="a", cursor=cursor))


@pytest.mark.parametrize("place", [[8], [], [7, 7], "7", 7, None])
def test_a_cursor_with_another_place_is_refused(place: object) -> None:
    whole = page_after(ListLoans(), path_after(ListLoans(), [7])).cursor
    assert whole is not UNSET
    check = base64.urlsafe_b64decode(whole + "==")[:8]
    forged = base64.urlsafe_b64encode(check + msgspec.json.encode(place)).rstrip(b"=").decode()
    with pytest.raises(InvalidCursor):
        place_in(ListLoans(cursor=forged))


@pytest.mark.parametrize("cursor", ["0", "12", "-", "AAAAAAAAAAA", "AAAAAAAAAAAA", "x" * 2000])
def test_a_cursor_that_never_was_one_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        place_in(ListLoans(cursor=cursor))


def test_every_page_query_refuses_cursors_beside_its_own_refusals() -> None:
    assert ListBooks.refusals == {"invalid-cursor": InvalidCursor}
    assert ListBooks.reply_type is BookPage
    assert Query.refusals == {}


class NoPage(Reply):
    titles: list[str]


def test_a_page_whose_reply_has_no_next_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="ListNothing: its reply NoPage needs a field 'next'"):

        class ListNothing(PageQuery[NoPage], name="shelf.list_nothing"):
            pass
