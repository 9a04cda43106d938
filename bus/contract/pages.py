"""Pages: queries for long lists, and the cursors that lead from page to page.

A cursor is opaque to callers. It has the place of the last row of a page in the order of its query (keyset paging), so
a row is on exactly one page, whatever is written meanwhile. And it is bound to its query: with another filter or
another order it would lead to another place, and is refused.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec
from msgspec import UNSET, Meta, UnsetType

from bus.contract.operations import Query, Reply
from bus.contract.refusals import Refusal

R = TypeVar("R", bound=Reply)
Q = TypeVar("Q", bound="PageQuery[Any]")

PageSize = Annotated[int, Meta(ge=1, le=500, examples=[100])]
Cursor = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]+$", max_length=2000)]

_CHECK_BYTES = 8


class InvalidCursor(Refusal, code="invalid-cursor", status=400):
    """The cursor is not one of this query. Follow the member next, or leave the cursor out to begin again."""


class PageQuery(Query[R], Generic[R]):
    """A query for one page of a list. Its reply has a list under a name of its own, and `next`:

        class OrderPage(Reply):
            orders: list[Order]
            next: str | None

        class ListOrders(PageQuery[OrderPage], name="orders.list_orders", http="GET /orders"):
            status: Status | UnsetType = UNSET
            sort: Literal["id", "-id", "total", "-total"] = "id"

    `limit` is the size of the page, 100 rows if not given, and `cursor` the place where it begins. Declare filters
    and `sort` beside them: a name for ascending order, with `-` before it for descending. `bus.database.page_of`
    reads the rows.
    """

    refusals: ClassVar[Mapping[str, type[Refusal]]] = MappingProxyType({InvalidCursor.code: InvalidCursor})
    needed_in_reply: ClassVar[tuple[str, ...]] = ("next",)

    limit: PageSize = 100
    cursor: Cursor | UnsetType = UNSET


def fields_of_file(operation: type[PageQuery[Any]]) -> list[str]:
    """The fields that choose what is in a file of the whole list: not those of a page, nor those that need a scope."""
    others = {"limit", "cursor", *operation.field_scopes, *operation.reply_type.__struct_fields__}
    return [name for name in operation.__struct_fields__ if name not in others]


def page_after(query: Q, next_page: str) -> Q:
    """The query for the page after another: `query` was for any page before, `next_page` is the `next` of its reply."""
    (cursor,) = parse_qs(urlsplit(next_page).query)["cursor"]
    return msgspec.structs.replace(query, cursor=cursor)


def path_after(query: PageQuery[Any], place: Sequence[Any]) -> str:
    """The `next` of a page: the path of the next one. `place` has the sort values of the page's last row."""
    fields = _given(query)
    route = query.http
    path = "" if route is None else route.path
    for name in () if route is None else route.parameters:
        path = path.replace(f"{{{name}}}", quote(_text(fields.pop(name)), safe=""))
    texts = {name: _text(value) for name, value in fields.items()}
    return f"{path}?{urlencode({**texts, 'cursor': _cursor_at(query, place)})}"


def place_in(query: PageQuery[Any]) -> list[Any]:
    """The sort values that the cursor of a query has, as JSON has them; empty without a cursor.

    Raises InvalidCursor for a cursor that `path_after` did not make for this query.
    """
    if query.cursor is UNSET:
        return []
    try:
        raw = urlsafe_b64decode(query.cursor + "=" * (-len(query.cursor) % 4))
        place = msgspec.json.decode(raw[_CHECK_BYTES:])
    except ValueError:
        raise InvalidCursor from None
    if raw[:_CHECK_BYTES] != _check_of(query, raw[_CHECK_BYTES:]):
        raise InvalidCursor
    return list(place)


def _cursor_at(query: PageQuery[Any], place: Sequence[Any]) -> str:
    body = msgspec.json.encode(place)
    return urlsafe_b64encode(_check_of(query, body) + body).rstrip(b"=").decode()


def _check_of(query: PageQuery[Any], body: bytes) -> bytes:
    """Binds a place to the query: its operation, filters and order. The size of the page may change on the way."""
    others = {name: value for name, value in _given(query).items() if name != "limit"}
    bound = msgspec.json.encode([query.operation_name, others])
    return blake2b(bound + body, digest_size=_CHECK_BYTES).digest()


def _given(query: PageQuery[Any]) -> dict[str, Any]:
    """The fields that have a value, as JSON has them, without the cursor."""
    fields: dict[str, Any] = msgspec.to_builtins(query)
    return {name: value for name, value in fields.items() if value is not None and name != "cursor"}


def _text(value: Any) -> str:
    """A value as a query string has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
