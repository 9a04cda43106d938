"""A feed: every change of users and products, once and in order."""

# All that callers and other services may know. Names on the wire are written out.

from datetime import datetime
from typing import Annotated

from bus import PageQuery, Reply
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
    noted_at: Annotated[datetime, Meta(tz=True)]


class EntryPage(Reply):
    """Entries in the order in which they were stored; `next` is the path of the next page, null on the last."""

    entries: list[Entry]
    next: Annotated[str, Meta(examples=["/feed?limit=1&cursor=JphCxvT6D4pbMV0"])] | None


class ListEntries(PageQuery[EntryPage], name="feed.list_entries", http="GET /feed"):
    """Read the feed page by page, oldest entries first."""

    product: ProductId | UnsetType = UNSET
