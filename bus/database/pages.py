"""Pages: reads one page of a list, by the filters, the order and the cursor of its query."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import ColumnElement, Connection, Row, Select, TypeDecorator, func, literal, select, tuple_

from bus.contract.pages import InvalidCursor, PageQuery, path_after, place_in

Filter = Callable[[Any], ColumnElement[bool]]

_NONE: Mapping[str, Any] = MappingProxyType({})


class HasConnection(Protocol):
    """`Work`, or a transaction."""

    @property
    def connection(self) -> Connection:
        """An open connection."""


class RowPage(NamedTuple):
    """What `page_of` has read.

    `rows` are the rows of the page, `next` the path of the next page, as its reply has it (None on the last), and
    `total` the number of all rows, if asked for (else UNSET).
    """

    rows: Sequence[Row[Any]]
    next: str | None
    total: int | UnsetType = UNSET


def page_of(
    work: HasConnection,
    rows: Select[Any],
    query: PageQuery[Any],
    *,
    by: ColumnElement[Any],
    sorts: Mapping[str, ColumnElement[Any]] = _NONE,
    filters: Mapping[str, Filter] = _NONE,
    total: bool = False,
) -> RowPage:
    """Read the page that the query asks for: its `rows`, the `next` of its reply, and the `total`.

        page = page_of(work, select(order), query, by=order.c.id)
        return OrderPage(orders=[Order(id=row.id) for row in page.rows], next=page.next)

    `rows` selects the list, without order and limit. `by` is a unique column: the order of the list, and among rows
    that are equal in another order. `filters` has a condition for fields of the query, used where a field has a value:
    `{"status": lambda status: order.c.status == status}`. `sorts` has the columns that the field `sort` may name,
    beside the name of `by`. All these columns must be selected and not null; give each an index together with `by`.
    With `total` all rows that match are counted too, which takes longer the more there are.

    Raises InvalidCursor, and ValueError for a sort that `sorts` does not have.
    """
    for name, condition in filters.items():
        if (value := getattr(query, name)) is not UNSET and value is not None:
            rows = rows.where(condition(value))
    count = work.connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one() if total else UNSET
    keys, descending = _order_of(query, by, sorts)
    here = rows.order_by(*(key.desc() if descending else key for key in keys))
    place = _values_at(keys, place_in(query))
    found: Sequence[Row[Any]] = ()
    for part in _parts(keys, place, descending=descending, whole=work.connection.dialect.name != "sqlite"):
        if (left := query.limit + 1 - len(found)) > 0:
            found = [*found, *work.connection.execute(here.where(*part).limit(left)).all()]
    if len(found) <= query.limit:
        return RowPage(found, None, count)
    page = found[: query.limit]
    return RowPage(page, path_after(query, [page[-1]._mapping[key] for key in keys]), count)


def _order_of(
    query: PageQuery[Any], by: ColumnElement[Any], sorts: Mapping[str, ColumnElement[Any]]
) -> tuple[list[ColumnElement[Any]], bool]:
    """The columns to sort by, the unique one last, and whether all of them descend."""
    asked = getattr(query, "sort", UNSET)
    if asked is UNSET:
        return [by], False
    name = asked.removeprefix("-")
    column = sorts.get(name, by if name == getattr(by, "key", None) else None)
    if column is None:
        raise ValueError(f"{query.operation_name} has the sort {asked}: give `sorts` a column for {name}")
    return ([by] if column is by else [column, by]), asked.startswith("-")


def _values_at(keys: Sequence[ColumnElement[Any]], place: Sequence[Any]) -> list[Any]:
    """A place as values of the columns; empty at the beginning. Raises InvalidCursor for one not in this order."""
    if not place:
        return []
    if len(place) != len(keys):
        raise InvalidCursor
    try:
        values = [msgspec.convert(value, _python_type(key)) for key, value in zip(keys, place, strict=True)]
    except msgspec.ValidationError:
        raise InvalidCursor from None
    return [literal(value, key.type) for key, value in zip(keys, values, strict=True)]


def _parts(
    keys: Sequence[ColumnElement[Any]], place: Sequence[Any], *, descending: bool, whole: bool
) -> list[tuple[ColumnElement[bool], ...]]:
    """The conditions for the rows after a place, in parts that follow each other in the order.

    `whole`: a comparison of rows (SQL:1999, 8.2) is one part, which PostgreSQL answers from an index of these columns.
    SQLite reads all rows with the same first value then, because its index has the second without saying so.
    """
    if not place:
        return [()]
    key, value = (keys[0], place[0]) if len(keys) == 1 else (tuple_(*keys), tuple_(*place))
    if len(keys) == 1 or whole:
        return [(key < value if descending else key > value,)]
    (first, last), (begin, end) = keys, place
    rest = last < end if descending else last > end
    return [(first == begin, rest), (first < begin if descending else first > begin,)]


def _python_type(column: ColumnElement[Any]) -> type[Any]:
    stored: Any = column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type
    found: type[Any] = stored.python_type
    return found
