"""Products: what others may know of them, and what can be done with them."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from bus import Command, Event, FieldError, Query, Refusal, Reply
from catalog.contract.fields import (
    Attributes,
    AttributeValue,
    ChangedAttributes,
    Description,
    Moment,
    Name,
    Price,
    ProductId,
    Quantity,
    Sku,
    Tags,
    Version,
)
from catalog.domain.stock import MOST_PIECES


class ProductNotFound(Refusal, code="catalog.product_not_found", status=404):
    """No product has this id."""


class InsufficientStock(Refusal, code="catalog.insufficient_stock", status=409):
    """Fewer pieces are available than are needed."""

    product_id: int
    available: int


class SkuTaken(Refusal, code="catalog.sku_taken", status=409):
    """Another product has this SKU."""

    product_id: int


class AttributesTooLarge(Refusal, code="catalog.attributes_too_large", status=409):
    """All attributes of a product together have at most 8192 bytes of JSON."""


class VersionConflict(Refusal, code="catalog.version_conflict", status=412):
    """The product was changed since the version that the caller knows; the member version is what it has now."""

    version: int


class VersionRequired(Refusal, code="catalog.version_required", status=428):
    """A change needs the version that it is meant for: the header If-Match, or the field expected_version."""


class Product(Reply):
    """A product. `available` pieces of the `quantity` are not reserved; `version` counts its changes from 1.

    A field that the product does not have is left out. `updated_at` is when its version was made. Only deleted
    products have `deleted_at`.
    """

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
    deleted_at: Moment | UnsetType = UNSET

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


class ProductChanged(Event, name="catalog.product_changed"):
    """A product was created or changed; this is what it is now."""

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


class StockChanged(Event, name="catalog.stock_changed"):
    """The stock of a product, or what is available of it, has changed; this is how many pieces there are now."""

    id: int
    quantity: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[1])]
    reason: Annotated[str, Meta(examples=["reserved"])]
    version: int
    updated_at: Moment | UnsetType = UNSET


class CreateProduct(
    Command[ProductCreated],
    name="catalog.create_product",
    http="POST /products",
    status=201,
    refuses=[SkuTaken],
    needs="catalog:write",
):
    """Put a product into the catalog. Two products never have the same `sku`."""

    name: Name
    price: Price
    quantity: Quantity
    sku: Sku | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET


class GetProduct(
    Query[Product], name="catalog.get_product", http="GET /products/{product_id}", refuses=[ProductNotFound]
):
    """Read one product."""

    product_id: ProductId


class UpdateProduct(
    Command[ProductUpdated],
    name="catalog.update_product",
    http="PUT /products/{product_id}",
    refuses=[ProductNotFound, InsufficientStock, SkuTaken, VersionConflict, VersionRequired],
    if_match="expected_version",
    needs="catalog:write",
):
    """Change the given fields of a product and leave the others.

    Null takes a field away that a product need not have. With `expected_version`, only if it still has that version. A
    product can be sent back as it was read: `id` must be that of the product, `version` is the same as
    `expected_version`, and `available` and `updated_at` are ignored.
    """

    product_id: ProductId
    name: Name | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    quantity: Quantity | UnsetType = UNSET
    sku: Sku | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    description: Description | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET
    expected_version: Version | UnsetType = UNSET
    # These have no examples, for the same reason as versions.
    id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType = UNSET
    version: Version | UnsetType = UNSET
    available: Annotated[int, Meta(ge=0, le=MOST_PIECES)] | UnsetType = UNSET
    updated_at: Moment | UnsetType = UNSET

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
    refuses=[AttributesTooLarge],
    needs="catalog:write",
    if_match="expected_version",
):
    """The same as `UpdateProduct`, for callers that expect a partial change to be a PATCH (RFC 7396).

    Attributes are changed one by one: those that are not given stay, and null takes one away.
    """

    attributes: ChangedAttributes | UnsetType | None = UNSET  # type: ignore[assignment]  # null only here
