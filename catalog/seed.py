"""The first products, for trying out a new system."""

from decimal import Decimal

from bus import Client
from catalog.contract import CreateProduct, ListProducts


def seed(client: Client) -> None:
    """Put two products into an empty catalog. Their message ids prevent a second effect."""
    if client.call(ListProducts(limit=1)).products:
        return
    client.call(CreateProduct(name="Product A", price=Decimal("10.99"), quantity=100), message_id="seed-product-a")
    client.call(CreateProduct(name="Product B", price=Decimal("20.49"), quantity=50), message_id="seed-product-b")
