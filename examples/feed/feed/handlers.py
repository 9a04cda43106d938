"""The handlers of feed: no HTTP, no AMQP, no commit."""

from datetime import UTC, datetime

from auth.contract import UserChanged
from bus import Service, Work
from bus.database import page_of
from catalog.contract import ProductChanged, ProductRemoved, ProductRestored
from msgspec import Raw
from msgspec.json import Encoder
from sqlalchemy import insert, select

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


@service.on(ProductRestored)
def note_product_restored(event: ProductRestored, work: Work) -> None:
    _note("product", event, work)


@service.on(UserChanged)
def note_user_changed(event: UserChanged, work: Work) -> None:
    _note("user", event, work)


@service.handles(ListEntries)
def list_entries(query: ListEntries, work: Work) -> EntryPage:
    filters = {"product": lambda product_id: (entry.c.kind == "product") & (entry.c.id == product_id)}
    page = page_of(work, select(entry), query, by=entry.c.number, filters=filters)
    entries = [Entry(**{**row._mapping, "body": Raw(row.body.encode())}) for row in page.rows]
    return EntryPage(entries=entries, next=page.next)


def _note(kind: str, event: ProductChanged | ProductRemoved | ProductRestored | UserChanged, work: Work) -> None:
    columns = {"event": event.operation_name, "id": event.id, "version": event.version}
    body = _encoder.encode(event).decode()
    work.connection.execute(insert(entry).values(kind=kind, body=body, noted_at=datetime.now(UTC), **columns))
