"""Products: their fields, what others may know of them, and what can be done with them."""

from decimal import Decimal
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from bus import Command, DecimalRange, Event, PageQuery, Query, Refusal, Reply
from catalog.domain.money import HIGHEST, PLACES
from catalog.domain.names import IN_WORDS, READABLE
from catalog.domain.stock import MOST_PIECES

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=READABLE, examples=["Lamp"], extra=IN_WORDS)]
Price = Annotated[Decimal, Meta(examples=[Decimal("9.90")]), DecimalRange(places=PLACES, ge=Decimal(0), le=HIGHEST)]
Quantity = Annotated[int, Meta(ge=0, le=MOST_PIECES, examples=[3])]
ProductId = Annotated[int, Meta(ge=0, le=2**63 - 1, examples=[1])]


class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
    """No product has this id."""


class InsufficientStock(Refusal, code="catalog.insufficient_stock", status=409):
    """Fewer pieces are available than are needed."""

    product_id: int
    available: int


class Product(Reply):
    """A product. `available` pieces of the `quantity` are not reserved; `version` counts its changes from 1."""

    id: int
    name: Annotated[str, Meta(examples=["Lamp"])]
    price: Decimal
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[3])]
    version: int


class ProductCreated(Reply):
    """The answer to `CreateProduct`."""

    product: Product
    message: str = "Product created successfully"

    def location(self) -> str:
        """Where the product can be read."""
        return f"/products/{self.product.id}"


class ProductUpdated(Reply):
    """The answer to `UpdateProduct`."""

    product: Product
    message: str = "Product updated successfully"


class ProductDeleted(Reply):
    """The answer to `DeleteProduct`."""

    message: str = "Product deleted successfully"


class ProductPage(Reply):
    """Products in the order of their ids; `next` is the path of the next page, null on the last."""

    products: list[Product]
    next: Annotated[str, Meta(examples=["/products?limit=1&cursor=vTK5Drj6WGJbMV0"])] | None


class ProductChanged(Event, name="catalog.product_changed"):
    """A product was created or changed; this is what it is now."""

    id: int
    name: Annotated[str, Meta(examples=["Lamp"])]
    price: Decimal
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[3])]
    version: int


class ProductRemoved(Event, name="catalog.product_removed"):
    """A product was taken out of the catalog; `version` is one more than its last."""

    id: int
    version: int


class StockChanged(Event, name="catalog.stock_changed"):
    """The stock of a product, or what is available of it, has changed; this is how many pieces there are now."""

    id: int
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[1])]
    reason: Annotated[str, Meta(examples=["reserved"])]
    version: int


class CreateProduct(
    Command[ProductCreated], name="catalog.create_product", http="POST /products", status=201, needs="catalog:write"
):
    """Put a product into the catalog."""

    name: Name
    price: Price
    quantity: Quantity


class GetProduct(
    Query[Product], name="catalog.get_product", http="GET /products/{product_id}", refuses=[ProductNotFound]
):
    """Read one product."""

    product_id: ProductId


class ListProducts(PageQuery[ProductPage], name="catalog.list_products", http="GET /products"):
    """Read the products page by page, in the order of their ids."""


class UpdateProduct(
    Command[ProductUpdated],
    name="catalog.update_product",
    http="PUT /products/{product_id}",
    refuses=[ProductNotFound, InsufficientStock],
    needs="catalog:write",
):
    """Change the given fields of a product and leave the others."""

    product_id: ProductId
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET


class DeleteProduct(
    Command[ProductDeleted],
    name="catalog.delete_product",
    http="DELETE /products/{product_id}",
    refuses=[ProductNotFound],
    needs="catalog:write",
):
    """Take a product out of the catalog."""

    product_id: ProductId
