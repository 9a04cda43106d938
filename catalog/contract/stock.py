"""Stock: how many pieces of a product there are."""

from typing import Annotated

from msgspec import Meta

from bus import READABLE, Command, Refusal, Reply
from catalog.contract.fields import ProductId
from catalog.contract.products import InsufficientStock, Product, ProductNotFound
from catalog.domain.stock import MOST_PIECES

StockChange = Annotated[int, Meta(ge=-MOST_PIECES, le=MOST_PIECES, examples=[-1])]
Reason = Annotated[str, Meta(min_length=1, max_length=200, examples=["sold"]), READABLE]


class StockTooLarge(Refusal, code="catalog.stock_too_large", status=409):
    """A product can have at most 2147483647 pieces."""


class StockUpdated(Reply):
    """The answer to `ChangeStock`."""

    product: Product
    message: str = "Stock updated successfully"

    version_path = "product.version"


class ChangeStock(
    Command[StockUpdated],
    name="catalog.change_stock",
    http="POST /products/{product_id}/stock",
    refuses=[ProductNotFound, InsufficientStock, StockTooLarge],
    needs="catalog:write",
):
    """Add pieces to the stock of a product, or take some that are available; `reason` is for listeners and people."""

    product_id: ProductId
    change: StockChange
    reason: Reason
