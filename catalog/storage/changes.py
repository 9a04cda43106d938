"""Changes of products, each with its event and its row in the history, in the transaction that makes it."""

from typing import Any

from msgspec import UNSET, structs

from bus import ANONYMOUS, Command, Event, Work
from bus.database import insert_all
from catalog.contract import Product, StockChanged
from catalog.domain.moments import milliseconds
from catalog.storage.product_rows import columns_of, given_of
from catalog.tables import history


class Changes:
    """The changes of products that a handler makes: an event of each, and a row of the history."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._made: list[tuple[Product, Event, str]] = []

    def add(self, current: Product, event: Event, request: Command[Any] | None = None) -> None:
        """Emit the event of a change. `current` is the product in its new version, or as it was deleted."""
        self._made.append((current, event, self._work.emit(event, request)))

    def write(self) -> None:
        """Write the changes to the history, with one statement."""
        if not self._made:
            return
        fields = [structs.asdict(current) for current, _, _ in self._made]
        optional = given_of(fields)
        made_by = None if self._work.caller == ANONYMOUS else self._work.caller.id
        rows = [
            {
                "product_id": current.id,
                "event": event.operation_name,
                "event_id": event_id,
                "reason": event.reason if isinstance(event, StockChanged) else None,
                "made_by": made_by,
                "reserved": current.quantity - current.available,
                "updated_ms": 0 if current.updated_at is UNSET else milliseconds(current.updated_at),
                **columns_of(each, optional),
            }
            for each, (current, event, event_id) in zip(fields, self._made, strict=True)
        ]
        insert_all(self._work.connection, history, rows)


def stock_changed(current: Product, reason: str) -> StockChanged:
    """The event with the stock that a product has now."""
    return StockChanged(
        id=current.id,
        quantity=current.quantity,
        available=current.available,
        reason=reason,
        version=current.version,
        updated_at=current.updated_at,
    )
