"""Products: their fields, what others may know of them, and what can be done with them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from bus import Command, DecimalRange, Event, FieldError, PageQuery, Query, Refusal, Reply
from catalog.domain.money import HIGHEST, PLACES
from catalog.domain.names import IN_WORDS, READABLE
from catalog.domain.stock import MOST_PIECES

Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=READABLE, examples=["Lamp"], extra=IN_WORDS)]
Price = Annotated[Decimal, Meta(examples=[Decimal("9.90")]), DecimalRange(places=PLACES, ge=Decimal(0), le=HIGHEST)]
Quantity = Annotated[int, Meta(ge=0, le=MOST_PIECES, examples=[3])]
# Without an example: programs that are made from the contract would name a version that the product does not have.
Version = Annotated[int, Meta(ge=0, le=10**18 - 1)]
ProductId = Annotated[int, Meta(ge=0, le=2**63 - 1, examples=[1])]


class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
    """No product has this id."""


class InsufficientStock(Refusal, code="catalog.insufficient_stock", status=409):
    """Fewer pieces are available than are needed."""

    product_id: int
    available: int


class VersionConflict(Refusal, code="catalog.version_conflict", status=412):
    """The product was changed since the version that the caller knows; `version` is what it has now."""

    version: int


class VersionRequired(Refusal, code="catalog.version_required", status=428):
    """A change needs the version that it is meant for: the header If-Match, or the field expected_version."""


class Product(Reply):
    """A product. `available` pieces of the `quantity` are not reserved; `version` counts its changes from 1."""

    id: int
    name: Annotated[str, Meta(examples=["Lamp"])]
    price: Decimal
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[3])]
    version: int

    version_path = "version"


class ProductCreated(Reply):
    """The answer to `CreateProduct`."""

    product: Product
    message: str = "Product created successfully"

    version_path = "product.version"

    def location(self) -> str:
        """Where the product can be read."""
        return f"/products/{self.product.id}"


class ProductUpdated(Reply):
    """The answer to `UpdateProduct`."""

    product: Product
    message: str = "Product updated successfully"

    version_path = "product.version"


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
    refuses=[ProductNotFound, InsufficientStock, VersionConflict, VersionRequired],
    if_match="expected_version",
    needs="catalog:write",
):
    """Change the given fields of a product and leave the others.

    With `expected_version`, only if it still has that version. A product can be sent back as it was read: `id` must be
    that of the product, `version` is the same as `expected_version`, and `available` is ignored.
    """

    product_id: ProductId
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    expected_version: Version | UnsetType = UNSET
    # These have no examples, for the same reason as versions.
    id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET
    version: Version | UnsetType = UNSET
    available: Annotated[int, Meta(ge=0, le=MOST_PIECES)] | UnsetType = UNSET

    def violations(self) -> Iterable[FieldError]:
        """Another id, and two versions."""
        if self.id is not UNSET and self.id != self.product_id:
            yield FieldError("/id", "This is not the id of the product that is changed.", "wrong-id")
        if UNSET not in (self.version, self.expected_version) and self.version != self.expected_version:
            yield FieldError("/version", "This is not the expected version.", "wrong-version")

    @property
    def known_version(self) -> int | UnsetType:
        """The version that the caller knows."""
        return self.version if self.expected_version is UNSET else self.expected_version


class PatchProduct(
    UpdateProduct,
    name="catalog.patch_product",
    http="PATCH /products/{product_id}",
    needs="catalog:write",
    if_match="expected_version",
):
    """The same as `UpdateProduct`, for callers that expect a partial change to be a PATCH (RFC 7396)."""


class DeleteProduct(
    Command[ProductDeleted],
    name="catalog.delete_product",
    http="DELETE /products/{product_id}",
    refuses=[ProductNotFound, VersionConflict, VersionRequired],
    if_match="expected_version",
    needs="catalog:write",
):
    """Take a product out of the catalog. With `expected_version`, only if it still has that version."""

    product_id: ProductId
    expected_version: Version | UnsetType = UNSET
