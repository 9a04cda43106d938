"""Products: create them, read them one by one or page by page, change and delete them."""

# All that callers and other services may know of the catalog; they import it from here. The docstring is the summary
# in the catalog's OpenAPI and AsyncAPI documents.
#
# A feature is one file: `products.py` declares its requests, replies, refusals and events, and the file of the same
# name in `catalog/handlers/` carries them out. A new feature is a new file, imported and named in `__all__` here;
# `docs/contract/` then shows what has changed for callers (CONTRIBUTING.md).
#
# The imports are not sorted: documents and pages list operations and events in this order.

from catalog.contract.products import (
    Name,
    Price,
    Quantity,
    ProductId,
    ProductNotFound,
    InsufficientStock,
    Product,
    ProductCreated,
    ProductUpdated,
    ProductDeleted,
    ProductPage,
    ProductChanged,
    ProductRemoved,
    StockChanged,
    CreateProduct,
    GetProduct,
    ListProducts,
    UpdateProduct,
    DeleteProduct,
)
from catalog.contract.stock import (
    StockChange,
    Reason,
    StockTooLarge,
    StockUpdated,
    ChangeStock,
)
from catalog.contract.reservations import (
    ReservationId,
    Pieces,
    HoldSeconds,
    ReservationLine,
    Lines,
    ReservationNotFound,
    ReservationExpired,
    ReservationReleased,
    ReservationCommitted,
    Reservation,
    ReservationEnded,
    ReserveStock,
    ReserveLines,
    GetReservation,
    CommitReservation,
    ReleaseReservation,
)

__all__ = [
    "ChangeStock",
    "CommitReservation",
    "CreateProduct",
    "DeleteProduct",
    "GetProduct",
    "GetReservation",
    "HoldSeconds",
    "InsufficientStock",
    "Lines",
    "ListProducts",
    "Name",
    "Pieces",
    "Price",
    "Product",
    "ProductChanged",
    "ProductCreated",
    "ProductDeleted",
    "ProductId",
    "ProductNotFound",
    "ProductPage",
    "ProductRemoved",
    "ProductUpdated",
    "Quantity",
    "Reason",
    "ReleaseReservation",
    "Reservation",
    "ReservationCommitted",
    "ReservationEnded",
    "ReservationExpired",
    "ReservationId",
    "ReservationLine",
    "ReservationNotFound",
    "ReservationReleased",
    "ReserveLines",
    "ReserveStock",
    "StockChange",
    "StockChanged",
    "StockTooLarge",
    "StockUpdated",
    "UpdateProduct",
]
