"""A feed: every change of users and products, once and in order."""

# All that callers and other services may know. Names on the wire are written out.

from datetime import datetime
from typing import Annotated

from bus import Query, Reply
from catalog.contract import ProductId
from msgspec import UNSET, Meta, Raw, UnsetType


class Entry(Reply):
    """A change of a product or of a user. `body` is the event that reported it, `version` the event's version."""

    number: int
    event: Annotated[str, Meta(examples=["catalog.product_removed"])]
    kind: Annotated[str, Meta(examples=["product"])]
    id: int
    version: int
    body: Annotated[Raw, Meta(examples=[{"id": 1, "version": 2}])]
    noted_at: datetime


class EntryPage(Reply):
    """Entries in the order in which they were stored; `next` is the path of the next page, null on the last."""

    entries: list[Entry]
    next: Annotated[str, Meta(examples=["/feed?limit=1&cursor=1"])] | None


class ListEntries(Query[EntryPage], name="feed.list_entries", http="GET /feed"):
    """Read the feed page by page, oldest entries first; `cursor` is the last number of the page before."""

    limit: Annotated[int, Meta(ge=1, le=500, examples=[100])] = 100
    cursor: Annotated[str, Meta(pattern="^[0-9]{1,18}$", examples=["0"])] = "0"
    product: ProductId | UnsetType = UNSET
