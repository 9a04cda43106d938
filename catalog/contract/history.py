"""The life of products: what each version was, and deleted products that come back."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bus import Command, Event, PageQuery, Reply
from catalog.contract.fields import AttributeValue, Moment, ProductId
from catalog.contract.products import Product, ProductNotFound, SkuTaken


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


class RestoredProduct(Reply):
    """The answer to `RestoreProduct`."""

    product: Product
    message: str = "Product restored successfully"

    version_path = "product.version"


class ProductRestored(Event, name="catalog.product_restored"):
    """A product that was deleted is in the catalog again; this is what it is now."""

    id: int
    name: Annotated[str, Meta(examples=["Lamp"])]
    price: Decimal
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[3])]
    version: int
    sku: str | UnsetType = UNSET
    tags: list[str] | UnsetType = UNSET
    description: str | UnsetType = UNSET
    attributes: dict[str, AttributeValue] | UnsetType = UNSET
    updated_at: Moment | UnsetType = UNSET


class RestoreProduct(
    Command[RestoredProduct],
    name="catalog.restore_product",
    http="POST /products/{product_id}/restore",
    refuses=[ProductNotFound, SkuTaken],
    needs="catalog:write",
):
    """Bring a deleted product back as it was, as long as it is kept. A product that is not deleted stays as it is.

    Another product may have its SKU by now, and has to give it away first.
    """

    product_id: ProductId


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
