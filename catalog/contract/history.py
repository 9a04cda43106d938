"""The history of products: what each version was."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from bus import PageQuery, Reply
from catalog.contract.fields import Moment, ProductId
from catalog.contract.products import Product, ProductNotFound


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """A change of a product: its `version` since then, when it was made, by which account, and what it was before.

    `by` is null where the account is not known, as in an open catalog, and when a reservation expires. `before` is null
    when the product was created or restored, and of the first change that is known; `after` when it was deleted.
    """

    version: int
    at: Moment
    by: Annotated[str, Meta(examples=["7"])] | None
    before: Product | None
    after: Product | None


class HistoryPage(Reply):
    """Changes of a product; `next` is the path of the next page, null on the last."""

    history: list[HistoryEntry]
    next: Annotated[str, Meta(examples=["/products/1/history?limit=1&cursor=vTK5Drj6WGJbMV0"])] | None


class GetHistory(
    PageQuery[HistoryPage],
    name="catalog.get_history",
    http="GET /products/{product_id}/history",
    refuses=[ProductNotFound],
    needs="catalog:write",
):
    """Read the changes of a product page by page, the newest first, also of a deleted one as long as it is kept."""

    product_id: ProductId  # type: ignore[misc]  # it is keyword-only
    sort: Literal["-version", "version"] = "-version"
