"""The handlers of orders: no HTTP, no AMQP, no commit."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from bus import Refusal, Refused, Service, Work
from bus.database import find_all, page_of
from catalog.contract import (
    ChangeStock,
    CommitReservation,
    GetProduct,
    ProductNotFound,
    ReservationExpired,
    ReservationLine,
    ReserveLines,
)
from msgspec import structs
from sqlalchemy import Connection, Row, insert, select, update

from orders.contract import (
    CancelOrder,
    GetOrder,
    ListOrders,
    Order,
    OrderCancelled,
    OrderLine,
    OrderNotFound,
    OrderPage,
    OrderPlaced,
    PlaceOrder,
)
from orders.tables import order, order_line

service = Service("orders", sends=[ChangeStock, CommitReservation])

# The catalog holds the pieces for this long. What is left of an order that was never placed is free again after it, and
# so is an order's that the catalog did not hear of in time.
HOLD_SECONDS = 3600


@service.handles(PlaceOrder, calls=[GetProduct, ReserveLines])
def place_order(command: PlaceOrder, work: Work) -> Order:
    """Hold the pieces, and take them if and once the order is written. Another run repeats the same calls.

    Who orders need not be allowed to change the stock: the shop does that.
    """
    products = [work.call(GetProduct(product_id=line.product_id)) for line in command.lines]
    asked = [ReservationLine(product_id=line.product_id, quantity=line.quantity) for line in command.lines]
    reservation = work.call(ReserveLines(lines=asked, seconds=HOLD_SECONDS), as_service=True)
    lines = [
        OrderLine(product_id=product.id, name=product.name, unit_price=product.price, quantity=line.quantity)
        for product, line in zip(products, command.lines, strict=True)
    ]
    total = sum((line.unit_price * line.quantity for line in lines), start=lines[0].unit_price * 0)
    values = {"status": "placed", "total": total, "placed_at": datetime.now(UTC), "version": 1}
    values["reservation_id"] = reservation.id
    row = work.connection.execute(insert(order).values(values).returning(order)).one()
    rows = [{"order_id": row.id, "number": number, **structs.asdict(line)} for number, line in enumerate(lines)]
    work.connection.execute(insert(order_line), rows)
    work.send(CommitReservation(reservation_id=reservation.id))
    work.emit(OrderPlaced(id=row.id, lines=lines, total=total, version=1))
    return _order(row, lines)


@service.on_refused(CommitReservation)
def pieces_are_gone(command: CommitReservation, refusal: Refusal | Refused, work: Work) -> None:
    """The catalog heard of the order too late, and does not hold the pieces any more: cancel it."""
    if not isinstance(refusal, ReservationExpired):
        raise refusal  # for a person: the pieces are still held, for a while
    found = select(order.c.id).where(order.c.reservation_id == command.reservation_id)
    _cancel(_find(work.connection.execute(found).scalar_one(), work.connection), work)


@service.handles(CancelOrder, calls=[CommitReservation])
def cancel_order(command: CancelOrder, work: Work) -> Order:
    """Make sure that the pieces are taken, or never will be. Then cancel the order, and give back what was taken."""
    with work.reading() as connection:
        found = _find(command.order_id, connection)
        reservation = connection.execute(select(order.c.reservation_id).where(order.c.id == found.id)).scalar_one()
    try:
        work.call(CommitReservation(reservation_id=reservation), as_service=True)
        taken = found.lines
    except ReservationExpired:
        taken = []
    if _cancel(found, work):
        for line in taken:
            reason = f"order {found.id} cancelled"
            work.send(ChangeStock(product_id=line.product_id, change=line.quantity, reason=reason))
    return structs.replace(found, status="cancelled")


@service.on_refused(ChangeStock)
def not_given_back(command: ChangeStock, refusal: Refusal | Refused, work: Work) -> None:
    """Fine where the catalog has deleted the product. Anything else is for a person: a dead letter."""
    if not isinstance(refusal, ProductNotFound):
        raise refusal


@service.handles(GetOrder)
def get_order(query: GetOrder, work: Work) -> Order:
    return _find(query.order_id, work.connection)


@service.handles(ListOrders)
def list_orders(query: ListOrders, work: Work) -> OrderPage:
    page = page_of(work, select(order), query, by=order.c.id)
    return OrderPage(orders=_orders(page.rows, work.connection), next=page.next)


def _cancel(found: Order, work: Work) -> bool:
    """False if the order was cancelled before."""
    is_placed = (order.c.id == found.id) & (order.c.status == "placed")
    cancel = update(order).where(is_placed).values(status="cancelled", version=order.c.version + 1)
    row = work.connection.execute(cancel.returning(order)).one_or_none()
    if row:
        work.emit(OrderCancelled(id=row.id, lines=found.lines, total=row.total, version=row.version))
    return row is not None


def _find(order_id: int, connection: Connection) -> Order:
    """Raises OrderNotFound."""
    if (row := connection.execute(select(order).where(order.c.id == order_id)).one_or_none()) is None:
        raise OrderNotFound
    return _orders([row], connection)[0]


def _orders(rows: Sequence[Row[Any]], connection: Connection) -> list[Order]:
    """The orders of these rows, with their lines."""
    lines: dict[int, list[Row[Any]]] = defaultdict(list)
    if rows:
        for line in find_all(connection, order_line, order_line.c.order_id, [row.id for row in rows]):
            lines[line.order_id].append(line)
    return [_order(row, map(_line, sorted(lines[row.id], key=lambda line: line.number))) for row in rows]


def _order(row: Row[Any], lines: Iterable[OrderLine]) -> Order:
    return Order(id=row.id, lines=list(lines), total=row.total, status=row.status, placed_at=row.placed_at)


def _line(row: Row[Any]) -> OrderLine:
    return OrderLine(product_id=row.product_id, name=row.name, unit_price=row.unit_price, quantity=row.quantity)
