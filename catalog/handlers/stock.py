"""Stock: how many pieces of products there are, and how many of them nobody has reserved."""

from collections.abc import Container, Iterable, Sequence
from typing import Any

from msgspec import UNSET, structs

from bus import Command, FieldError, Refusal, Work
from bus.database import lock_all, update_each
from catalog.contract import (
    ChangeStock,
    InsufficientStock,
    Product,
    ProductNotFound,
    ReservationLine,
    ReserveLines,
    ReserveStock,
    StockTooLarge,
    StockUpdated,
)
from catalog.domain.moments import milliseconds
from catalog.domain.stock import MOST_PIECES
from catalog.handlers.service import catalog
from catalog.storage.changes import Changes, stock_changed
from catalog.storage.product_rows import is_live, next_moment, product_of
from catalog.tables import clock, product

Request = Command[Any]


@catalog.handles_many(ChangeStock)
def change_stock(commands: list[ChangeStock], work: Work) -> Sequence[StockUpdated | Refusal]:
    """Locks the products in one order and writes each once, however many change it."""
    stock = Stock(work, (command.product_id for command in commands))
    replies: list[StockUpdated | Refusal] = []
    for command in commands:
        if (current := stock.get(command.product_id)) is None:
            replies.append(ProductNotFound())
        elif current.available + command.change < 0:
            detail = f"{current.available} pieces are available."
            replies.append(InsufficientStock(detail, product_id=current.id, available=current.available))
        elif current.quantity + command.change > MOST_PIECES:
            replies.append(StockTooLarge())
        else:
            counts = {
                "quantity": current.quantity + command.change,
                "available": current.available + command.change,
            }
            replies.append(StockUpdated(product=stock.change(current, command.reason, command, **counts)))
    stock.write()
    return replies


class Stock:
    """Products while their stock changes; their rows are locked, and `write` writes each changed one once.

    A deleted product has no stock to take from. But a reservation of it may end: then its counts change, so that they
    are right when it is restored. That is no change that listeners or its history could know of.
    """

    def __init__(self, work: Work, product_ids: Iterable[int]) -> None:
        self._work, self._changes = work, Changes(work)
        rows = lock_all(work.connection, product, product.c.id, product_ids, clock)
        self._rows = {row.id: row for row in rows}
        self._products = {row.id: product_of(row) for row in rows if is_live(row)}
        self._deleted = {row.id: product_of(row) for row in rows if not is_live(row)}
        self._changed: dict[int, Product] = {}

    def hold(self, lines: Sequence[ReservationLine], request: ReserveStock | ReserveLines) -> Refusal | None:
        """Make the pieces of all lines unavailable, or none of them and say why."""
        pieces = pieces_of(lines)
        if unknown := pieces.keys() - self._products.keys():
            errors = _faults(request, lines, unknown, "product_id", "No product has this id.", ProductNotFound)
            return ProductNotFound(errors=errors)
        lacking = [each for each, count in pieces.items() if self._products[each].available < count]
        if lacking:
            available = self._products[lacking[0]].available
            errors = _faults(request, lines, lacking, "quantity", "So many are not available.", InsufficientStock)
            detail = f"{available} pieces of the product {lacking[0]} are available."
            return InsufficientStock(detail, errors, product_id=lacking[0], available=available)
        for product_id, count in pieces.items():
            current = self._products[product_id]
            self.change(current, "reserved", request, available=current.available - count)
        return None

    def end(self, lines: Sequence[ReservationLine], state: str, request: Request | None = None) -> None:
        """End the hold of all lines: committed pieces leave the stock, and others are available again."""
        for product_id, count in pieces_of(lines).items():
            current = self._products.get(product_id) or self._deleted.get(product_id)
            if current is None:  # it was purged
                continue
            is_sold = state == "committed"
            counts = {"quantity": current.quantity - count} if is_sold else {"available": current.available + count}
            if product_id in self._products:
                self.change(current, state, request, **counts)
            else:
                now = structs.replace(current, **counts)
                self._deleted[product_id] = self._changed[product_id] = now

    def write(self) -> None:
        """Write the changed products."""
        if self._changed:
            rows = [
                {"id": each.id, "quantity": each.quantity, "reserved": each.quantity - each.available,
                 "version": each.version, "updated_ms": milliseconds(each.updated_at)}
                for each in self._changed.values()
                if each.updated_at is not UNSET
            ]  # fmt: skip
            update_each(self._work.connection, product, product.c.id, rows)
            self._changes.write()

    def get(self, product_id: int) -> Product | None:
        """The product as it is now; None if there is none."""
        return self._products.get(product_id)

    def change(self, current: Product, reason: str, request: Request | None, **counts: int) -> Product:
        """Set these counts of a product, and emit the event."""
        at = next_moment(current, self._rows[current.id])
        now = structs.replace(current, version=current.version + 1, updated_at=at, **counts)
        self._products[now.id] = self._changed[now.id] = now
        self._changes.add(now, stock_changed(now, reason), request)
        return now


def pieces_of(lines: Iterable[ReservationLine]) -> dict[int, int]:
    """The pieces of each product, by its id; a product may have several lines."""
    pieces: dict[int, int] = {}
    for line in lines:
        pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    return pieces


def _faults(
    request: ReserveStock | ReserveLines,
    lines: Iterable[ReservationLine],
    product_ids: Container[int],
    field: str,
    detail: str,
    refusal: type[Refusal],
) -> list[FieldError]:
    """A fault of this field for each line of these products."""
    begin = "/lines/{}" if isinstance(request, ReserveLines) else ""
    places = [place for place, line in enumerate(lines) if line.product_id in product_ids]
    return [FieldError(f"{begin.format(place)}/{field}", detail, refusal.code) for place in places]
