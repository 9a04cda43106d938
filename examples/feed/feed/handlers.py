"""The handlers of feed: no HTTP, no AMQP, no commit."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from auth.contract import UserChanged
from bus import Service, Work
from catalog.contract import ProductChanged, ProductRemoved
from msgspec import UNSET, Raw
from msgspec.json import Encoder
from sqlalchemy import Row, insert, select

from feed.contract import Entry, EntryPage, ListEntries
from feed.tables import entry

service = Service("feed")

# Prices are JSON numbers with all their digits, as in the event.
_encoder = Encoder(decimal_format="number")


@service.on(ProductChanged)
def note_product_changed(event: ProductChanged, work: Work) -> None:
    _note("product", event, work)


@service.on(ProductRemoved)
def note_product_removed(event: ProductRemoved, work: Work) -> None:
    _note("product", event, work)


@service.on(UserChanged)
def note_user_changed(event: UserChanged, work: Work) -> None:
    _note("user", event, work)


@service.handles(ListEntries)
def list_entries(query: ListEntries, work: Work) -> EntryPage:
    page = select(entry).where(entry.c.number > int(query.cursor)).order_by(entry.c.number).limit(query.limit + 1)
    if query.product is not UNSET:
        page = page.where(entry.c.kind == "product", entry.c.id == query.product)
    rows = work.connection.execute(page).all()
    entries = [_entry(row) for row in rows[: query.limit]]
    return EntryPage(entries=entries, next=_path_after(entries[-1], query) if len(rows) > query.limit else None)


def _note(kind: str, event: ProductChanged | ProductRemoved | UserChanged, work: Work) -> None:
    columns = {"event": event.operation_name, "id": event.id, "version": event.version}
    body = _encoder.encode(event).decode()
    work.connection.execute(insert(entry).values(kind=kind, body=body, noted_at=datetime.now(UTC), **columns))


def _entry(row: Row[Any]) -> Entry:
    # SQLite returns times without their time zone.
    noted_at = row.noted_at.astimezone(UTC) if row.noted_at.tzinfo else row.noted_at.replace(tzinfo=UTC)
    return Entry(**{**row._mapping, "body": Raw(row.body.encode()), "noted_at": noted_at})


def _path_after(last: Entry, query: ListEntries) -> str:
    product = {} if query.product is UNSET else {"product": query.product}
    return f"/feed?{urlencode({'limit': query.limit, 'cursor': last.number, **product})}"
