"""The first rows of a large table for which a condition holds, found by the index of the condition."""

from typing import Any

from sqlalchemy import Column, ColumnElement, select, union_all


def among_first(
    number: Column[Any], *conditions: ColumnElement[bool], most: int, newest_first: bool = True
) -> ColumnElement[bool]:
    """Rows for which one of the conditions holds, the first `most` of them by their number, which is the primary key.

    Each condition should have an index. An order by the number itself would lead a planner to walk through the whole
    table, in the hope of meeting enough rows soon: a sum has no index.
    """
    found = union_all(*(select((number + 0).label("number")).where(each) for each in conditions)).subquery()
    order = found.c.number.desc() if newest_first else found.c.number
    return number.in_(select(found.c.number).distinct().order_by(order).limit(most))
