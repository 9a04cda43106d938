"""Orders: place them, read them and cancel them; the catalog's stock always agrees with them."""

# All that callers and other services may know. Names on the wire are written out.

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal

from bus import Command, Event, FieldError, PageQuery, Query, Refusal, Reply
from catalog.contract import InsufficientStock, ProductId, ProductNotFound
from msgspec import Meta, Struct

OrderId = Annotated[int, Meta(ge=0, le=2**63 - 1, examples=[1])]
Quantity = Annotated[int, Meta(ge=1, le=10_000, examples=[2])]
Name = Annotated[str, Meta(examples=["Lamp"])]


class OrderNotFound(Refusal, code="orders.order_not_found", status=404):
    """No order has this id."""


class LineToOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many pieces of one product."""

    product_id: ProductId
    quantity: Quantity


class OrderLine(Struct, frozen=True, kw_only=True):
    """What was ordered, with the name and the price that the product had then."""

    product_id: int
    name: Name
    unit_price: Decimal
    quantity: Quantity


class Order(Reply):
    """An order; `total` is the sum of all lines."""

    id: int
    lines: list[OrderLine]
    total: Decimal
    status: Literal["placed", "cancelled"]
    placed_at: Annotated[datetime, Meta(tz=True)]

    def location(self) -> str:
        """Where the order can be read."""
        return f"/orders/{self.id}"


class OrderPage(Reply):
    """Orders in the order in which they were placed; `next` is the path of the next page, null on the last."""

    orders: list[Order]
    next: Annotated[str, Meta(examples=["/orders?limit=1&cursor=JphCxvT6D4pbMV0"])] | None


class OrderPlaced(Event, name="orders.order_placed"):
    """An order was placed, and its pieces are taken out of the stock."""

    id: int
    lines: list[OrderLine]
    total: Decimal
    version: int


class OrderCancelled(Event, name="orders.order_cancelled"):
    """An order was cancelled, and its pieces go back into the stock."""

    id: int
    lines: list[OrderLine]
    total: Decimal
    version: int


class PlaceOrder(
    Command[Order],
    name="orders.place_order",
    http="POST /orders",
    status=201,
    refuses=[ProductNotFound, InsufficientStock],
):
    """Order pieces of products: all of them, or none."""

    lines: Annotated[list[LineToOrder], Meta(min_length=1, max_length=50)]

    def violations(self) -> Iterable[FieldError]:
        """A product has one line."""
        seen: set[int] = set()
        for number, line in enumerate(self.lines):
            if line.product_id in seen:
                yield FieldError(f"/lines/{number}/product_id", "Another line has this product.", "duplicate-product")
            seen.add(line.product_id)


class GetOrder(Query[Order], name="orders.get_order", http="GET /orders/{order_id}", refuses=[OrderNotFound]):
    """Read one order."""

    order_id: OrderId


class ListOrders(PageQuery[OrderPage], name="orders.list_orders", http="GET /orders"):
    """Read the orders page by page, the oldest first."""


class CancelOrder(
    Command[Order], name="orders.cancel_order", http="POST /orders/{order_id}/cancel", refuses=[OrderNotFound]
):
    """Cancel an order and give its pieces back. An order that is cancelled already stays so."""

    order_id: OrderId
