"""The history of products: what each change was, and the events of all time; `changes.py` writes it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from bus import Event, PastEvent, Work
from bus.database import page_of
from catalog.contract import (
    GetHistory,
    HistoryEntry,
    HistoryPage,
    Product,
    ProductChanged,
    ProductNotFound,
    ProductRemoved,
    ProductRestored,
    StockChanged,
)
from catalog.domain.moments import milliseconds, moment
from catalog.handlers.service import catalog
from catalog.storage.changes import stock_changed
from catalog.storage.product_rows import changed, shown, version_of
from catalog.tables import history, product

_REMOVED = ProductRemoved.operation_name
_exists = select(product.c.id).where(product.c.id == bindparam("product_id"))
_before = select(history).where(
    history.c.product_id == bindparam("product_id"), history.c.version == bindparam("version")
)
_next = (
    select(history)
    .where(history.c.id > bindparam("after"), history.c.updated_ms >= bindparam("since"))
    .order_by(history.c.id)
    .limit(bindparam("most"))
)


@catalog.handles(GetHistory)
def get_history(query: GetHistory, work: Work) -> HistoryPage:
    if work.connection.execute(_exists, {"product_id": query.product_id}).first() is None:
        raise ProductNotFound
    rows = select(history).where(history.c.product_id == query.product_id)
    page = page_of(work, rows, query, by=history.c.version)
    versions = {row.version: row for row in page.rows}
    if page.rows:
        before_all = {"product_id": query.product_id, "version": min(versions) - 1}
        versions |= {row.version: row for row in work.connection.execute(_before, before_all)}
    return HistoryPage(history=[_entry(row, versions) for row in page.rows], next=page.next)


@catalog.past_events(ProductChanged, StockChanged, ProductRemoved, ProductRestored)
def past_events(connection: Connection, since: datetime, after: int, most: int) -> list[PastEvent]:
    """All events of products, from the history."""
    bounds = {"after": after, "since": milliseconds(since), "most": most}
    rows = connection.execute(_next, bounds)
    return [PastEvent(row.id, _event_of(row), row.event_id, moment(row.updated_ms)) for row in rows]


def _entry(row: Row[Any], versions: Mapping[int, Row[Any]]) -> HistoryEntry:
    before = versions.get(row.version - 1)
    return HistoryEntry(
        version=row.version,
        at=moment(row.updated_ms),
        by=row.made_by,
        before=None if before is None else _after(before),
        after=_after(row),
    )


def _after(row: Row[Any]) -> Product | None:
    """What the product was since this change; None if that deleted it."""
    return None if row.event == _REMOVED else version_of(row, row.product_id)


def _event_of(row: Row[Any]) -> Event:
    """The event as it was emitted."""
    if row.event == _REMOVED:
        return ProductRemoved(id=row.product_id, version=row.version)
    current = version_of(row, row.product_id)
    if row.event == StockChanged.operation_name:
        return stock_changed(current, row.reason)
    return ProductRestored(**shown(current)) if row.event == ProductRestored.operation_name else changed(current)
