"""The conditions of a list, as both databases know them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET
from sqlalchemy import Boolean, ColumnElement, Select, and_, cast, func, literal, literal_column, select
from sqlalchemy.dialects.postgresql import TSQUERY

from catalog.contract import ListProducts
from catalog.domain.moments import milliseconds
from catalog.domain.money import to_column
from catalog.domain.words import term_of_tag, words_of
from catalog.tables import is_in_stock, is_sold_out, product, product_terms, term_vector

SORTS: dict[str, ColumnElement[Any]] = {
    "name": product.c.sort_name,
    "price": product.c.price,
    "updated_at": product.c.updated_ms,
}

_FULL_TEXT: ColumnElement[Any] = literal_column("product_terms")
_TERMS: ColumnElement[Any] = literal_column("(' ' || products.terms || ' ')")


@dataclass(frozen=True)
class Condition:
    """A condition for products.

    An index answers `indexed`, and has its rows in the order of `sort`; it answers `ids` alone, too. On SQLite
    `checked` is the same condition, but computed for each row, and `match` is what its full text index is asked for.
    """

    indexed: ColumnElement[bool]
    checked: ColumnElement[bool]
    ids: Select[tuple[int]]
    sort: str
    match: str = ""


def finds_nothing(query: ListProducts) -> bool:
    """Whether it searches for what has no word."""
    return query.q is not UNSET and not words_of(query.q)


def conditions_of(query: ListProducts) -> list[Condition]:
    """The conditions of a query; the first of them are those that usually find least."""
    found = [_sku(query), *_words(query), *_tag(query), _price(query), _updated(query), _stock(query)]
    return [each for each in found if each is not None]


def matching(terms: Sequence[Condition]) -> ColumnElement[bool]:
    """The rows of SQLite's full text index that have all these terms."""
    return _matches(" ".join(each.match for each in terms))


def _sku(query: ListProducts) -> Condition | None:
    if query.sku is UNSET:
        return None
    condition = product.c.sku == literal(query.sku)
    return Condition(condition, condition, select(product.c.id).where(condition), "sku")


def _words(query: ListProducts) -> Iterator[Condition]:
    for word in dict.fromkeys(words_of(query.q)) if query.q is not UNSET else ():
        yield _term(f"'{word}':*", f'"{word}"*', f" {word}")


def _tag(query: ListProducts) -> Iterator[Condition]:
    if query.tag is not UNSET:
        tag = term_of_tag(query.tag)
        yield _term(f"'{tag}'", f'"{tag}"', f" {tag} ")


def _term(vector: str, match: str, part: str) -> Condition:
    return Condition(
        # Written into the statement, because a plan for any words would not know how many rows these find.
        term_vector.op("@@", return_type=Boolean())(cast(literal(vector, literal_execute=True), TSQUERY)),
        func.instr(_TERMS, part) > 0,
        select(product_terms.c.rowid).where(_matches(match)),
        "id",
        match,
    )


def _matches(match: str) -> ColumnElement[bool]:
    return _FULL_TEXT.op("MATCH", return_type=Boolean())(match)


def _price(query: ListProducts) -> Condition | None:
    least, most = (None if each is UNSET else to_column(each) for each in (query.min_price, query.max_price))
    return _range(product.c.price, least, most, "price")


def _updated(query: ListProducts) -> Condition | None:
    since = None if query.updated_since is UNSET else milliseconds(query.updated_since)
    return _range(product.c.updated_ms, since, None, "updated_at")


def _range(column: ColumnElement[Any], least: Any, most: Any, sort: str) -> Condition | None:
    if least is None and most is None:
        return None
    # With a plus before it, SQLite uses no index of the column.
    unindexed = literal_column(f"+products.{column.key}", column.type)
    indexed, checked = (
        and_(
            *([each >= _value(least, column)] if least is not None else []),
            *([each <= _value(most, column)] if most is not None else []),
        )
        for each in (column, unindexed)
    )
    return Condition(indexed, checked, select(product.c.id).where(indexed), sort)


def _stock(query: ListProducts) -> Condition | None:
    if query.in_stock is UNSET:
        return None
    indexed = is_in_stock if query.in_stock else is_sold_out
    available = product.c.quantity - product.c.reserved
    checked = available > 0 if query.in_stock else available <= 0
    return Condition(indexed, checked, select(product.c.id).where(indexed), "id")


def _value(value: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    return literal(value, column.type, literal_execute=True)
