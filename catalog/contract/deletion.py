"""Deletion: products leave the catalog, and come back."""

from msgspec import UNSET, UnsetType

from bus import Command, Event, Reply
from catalog.contract.fields import ProductId, Version
from catalog.contract.products import (
    Product,
    ProductChanged,
    ProductNotFound,
    SkuTaken,
    VersionConflict,
    VersionRequired,
)


class ProductDeleted(Reply):
    """The answer to `DeleteProduct`."""

    message: str = "Product deleted successfully"


class RestoredProduct(Reply):
    """The answer to `RestoreProduct`."""

    product: Product
    message: str = "Product restored successfully"

    version_path = "product.version"


class ProductRemoved(Event, name="catalog.product_removed"):
    """A product was taken out of the catalog; `version` is one more than its last."""

    id: int
    version: int


class ProductRestored(ProductChanged, name="catalog.product_restored"):
    """A product that was deleted is in the catalog again; this is what it is now."""


class DeleteProduct(
    Command[ProductDeleted],
    name="catalog.delete_product",
    http="DELETE /products/{product_id}",
    refuses=[ProductNotFound, VersionConflict, VersionRequired],
    if_match="expected_version",
    needs="catalog:write",
):
    """Take a product out of the catalog. With `expected_version`, only if it still has that version.

    It can be restored for some time (`CATALOG_KEEP_DELETED_DAYS`). Another product may have its SKU at once.
    """

    product_id: ProductId
    expected_version: Version | UnsetType = UNSET


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
