"""Lists: products that are searched for, filtered and sorted, page by page."""

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from bus import FieldError, PageQuery, Reply
from catalog.contract.fields import Moment, PriceBound, Sku, Tag
from catalog.contract.products import Product

_Search = Annotated[str, Meta(min_length=1, max_length=200)]
Sort = Literal["id", "-id", "name", "-name", "price", "-price", "updated_at", "-updated_at"]


class ProductPage(Reply):
    """A page of products. `next` is the path of the next page, null on the last; `total` counts the whole list."""

    products: list[Product]
    next: Annotated[str, Meta(examples=["/products?limit=1&cursor=vTK5Drj6WGJbMV0"])] | None
    total: int | UnsetType = UNSET


class ListProducts(
    PageQuery[ProductPage],
    name="catalog.list_products",
    http="GET /products",
    needs_for={"include_deleted": "catalog:write"},
    files={"/products.csv": "text/csv", "/products.ndjson": "application/x-ndjson"},
):
    """Read the products page by page, in the order of their ids or another.

    `q` finds those in whose name, SKU, tags and description words begin with all words of it, whatever their case and
    diacritics. `tag` and `sku` must be the same to the letter. Names are sorted by their words. With `total`, all
    products that match are counted, which takes longer the more there are. With `include_deleted` also those are listed
    that were deleted and can be restored.
    """

    q: _Search | UnsetType = UNSET
    min_price: PriceBound | UnsetType = UNSET
    max_price: PriceBound | UnsetType = UNSET
    in_stock: bool | UnsetType = UNSET
    include_deleted: bool | UnsetType = UNSET
    tag: Tag | UnsetType = UNSET
    sku: Sku | UnsetType = UNSET
    updated_since: Moment | UnsetType = UNSET
    sort: Sort | UnsetType = UNSET
    total: bool | UnsetType = UNSET

    def violations(self) -> Iterable[FieldError]:
        """A range of prices in which there is none."""
        least, most = self.min_price, self.max_price
        if least is not UNSET and most is not UNSET and least > most:
            yield FieldError("/max_price", "This is less than min_price.", "out-of-range")
