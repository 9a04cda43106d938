"""SKUs: two products never have the same one. The unique index says so; here it becomes an answer."""

from collections.abc import Iterable

from msgspec import UnsetType
from sqlalchemy import Connection

from bus import FieldError
from bus.database import find_all
from catalog.contract import SkuTaken
from catalog.tables import product


class Skus:
    """Which products have the SKUs that the requests of a batch ask for, while the requests are carried out.

    A worker that takes the same SKU at the same time violates the index: the batch is rolled back and tried again.
    """

    def __init__(self, connection: Connection, wanted: Iterable[str | UnsetType | None]) -> None:
        skus = sorted({each for each in wanted if isinstance(each, str)})
        rows = find_all(connection, product, product.c.sku, skus) if skus else ()
        self._owners: dict[str, int] = {row.sku: row.id for row in rows}
        self._freed: dict[str, int] = {}
        # Products that had an SKU in the table that another one gets.
        self.given_away: set[int] = set()

    def owner_of(self, sku: str) -> int | None:
        """The id of the product that has it."""
        return self._owners.get(sku)

    def move(self, product_id: int, old: str | UnsetType, new: str | UnsetType) -> SkuTaken | None:
        """Give a product another SKU than it has, or none. The refusal, if another product has it."""
        if isinstance(new, str):
            if (owner := self._owners.get(new, product_id)) != product_id:
                return taken(new, owner)
            if new in self._freed and self._freed[new] != product_id:
                self.given_away.add(self._freed[new])
            self._owners[new] = product_id
        if isinstance(old, str) and old != new:
            self._owners.pop(old, None)
            self._freed.setdefault(old, product_id)
        return None


def taken(sku: str, owner: int, pointer: str = "/sku") -> SkuTaken:
    """The refusal of an SKU that this product has; `pointer` is the field of the request that asks for it."""
    detail = f"The product {owner} has the SKU {sku}."
    return SkuTaken(detail, [FieldError(pointer, detail, SkuTaken.code)], product_id=owner)
