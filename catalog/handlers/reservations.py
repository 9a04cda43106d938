"""Reservations: hold pieces of products, commit or release them, and expire by themselves.

All of them lock what they change in one order: reservations before products, each by their ids. So none waits for
another that waits for it. A reservation cannot be committed from the moment that it expires; its pieces are available
again after the next run of `expire_reservations`.
"""

from collections.abc import Container, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from msgspec import UNSET, structs
from sqlalchemy import ColumnElement, Row, select

from bus import FieldError, Refusal, Work
from bus.database import find_all, insert_all, lock_all, update_all, update_each
from catalog.contract import (
    CommitReservation,
    GetReservation,
    InsufficientStock,
    Product,
    ProductNotFound,
    ReleaseReservation,
    Reservation,
    ReservationCommitted,
    ReservationEnded,
    ReservationExpired,
    ReservationLine,
    ReservationNotFound,
    ReservationReleased,
    ReserveLines,
    ReserveStock,
    StockChanged,
)
from catalog.handlers.products import product_of
from catalog.handlers.service import catalog
from catalog.tables import is_held, now_ms, product, reservation, reservation_line

# Between two looks for reservations that have expired, and how many are ended together.
EXPIRY_SECONDS = 0.5
MOST_EXPIRED = 200

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_now = select(now_ms())
# The clock in a subquery is read once, so that the index is used.
_has_expired: ColumnElement[bool] = reservation.c.expires_ms <= _now.scalar_subquery()
_expired = select(reservation.c.id).where(is_held, _has_expired).order_by(reservation.c.expires_ms)

State = Literal["held", "committed", "released", "expired"]
Request = ReserveStock | ReserveLines | CommitReservation | ReleaseReservation


@catalog.handles_many(ReserveStock)
def reserve_stock(commands: list[ReserveStock], work: Work) -> Sequence[Reservation | Refusal]:
    """Locks the products in one order and writes each once, however many want it."""
    lines = [[ReservationLine(product_id=each.product_id, quantity=each.quantity)] for each in commands]
    return _reserve(commands, lines, work)


@catalog.handles_many(ReserveLines)
def reserve_lines(commands: list[ReserveLines], work: Work) -> Sequence[Reservation | Refusal]:
    """All lines or none."""
    return _reserve(commands, [each.lines for each in commands], work)


@catalog.handles(GetReservation)
def get_reservation(query: GetReservation, work: Work) -> Reservation:
    statement = select(reservation, now_ms().label("now")).where(reservation.c.id == query.reservation_id)
    if (row := work.connection.execute(statement).one_or_none()) is None:
        raise ReservationNotFound
    state: State = "expired" if row.state == "held" and row.expires_ms <= row.now else row.state
    return _reservation(row.id, row.expires_ms, _lines_of(work, [row.id])[row.id], state)


@catalog.handles_many(CommitReservation)
def commit_reservation(commands: list[CommitReservation], work: Work) -> Sequence[ReservationEnded | Refusal]:
    return _settle(commands, "committed", work)


@catalog.handles_many(ReleaseReservation)
def release_reservation(commands: list[ReleaseReservation], work: Work) -> Sequence[ReservationEnded | Refusal]:
    return _settle(commands, "released", work)


@catalog.every(EXPIRY_SECONDS, when=_expired)
def expire_reservations(work: Work) -> None:
    """Give back the pieces of reservations that have expired."""
    ids = work.connection.execute(_expired.limit(MOST_EXPIRED)).scalars().all()
    held = [row.id for row in lock_all(work.connection, reservation, reservation.c.id, ids) if row.state == "held"]
    lines = _lines_of(work, held)
    stock = _Stock(work, (line.product_id for each in held for line in lines[each]))
    for each in held:
        stock.end(lines[each], "expired")
    stock.write()
    if held:
        update_all(work.connection, reservation, reservation.c.id, held, {"state": "expired"})


class _Stock:
    """Products while their stock changes; their rows are locked, and `write` writes each changed one once."""

    def __init__(self, work: Work, product_ids: Iterable[int]) -> None:
        self._work = work
        rows = lock_all(work.connection, product, product.c.id, product_ids)
        self._products = {row.id: product_of(row) for row in rows}
        self._changed: dict[int, Product] = {}

    def hold(self, lines: Sequence[ReservationLine], request: ReserveStock | ReserveLines) -> Refusal | None:
        """Make the pieces of all lines unavailable, or none of them and say why."""
        pieces = _pieces(lines)
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
            self._change(current, "reserved", request, available=current.available - count)
        return None

    def end(self, lines: Sequence[ReservationLine], state: State, request: Request | None = None) -> None:
        """End the hold of all lines: committed pieces leave the stock, and others are available again.

        A product that is gone has no stock.
        """
        for product_id, count in _pieces(lines).items():
            current = self._products.get(product_id)
            if current is not None and state == "committed":
                self._change(current, state, request, quantity=current.quantity - count)
            elif current is not None:
                self._change(current, state, request, available=current.available + count)

    def write(self) -> None:
        """Write the changed products."""
        if self._changed:
            rows = [
                {"id": each.id, "quantity": each.quantity, "reserved": each.quantity - each.available,
                 "version": each.version}
                for each in self._changed.values()
            ]  # fmt: skip
            update_each(self._work.connection, product, product.c.id, rows)

    def _change(self, current: Product, reason: str, request: Request | None, **counts: int) -> None:
        now = structs.replace(current, version=current.version + 1, **counts)
        self._products[now.id] = self._changed[now.id] = now
        event = StockChanged(
            id=now.id, quantity=now.quantity, available=now.available, reason=reason, version=now.version
        )
        self._work.emit(event, request)


def _pieces(lines: Iterable[ReservationLine]) -> dict[int, int]:
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


def _reserve(
    commands: Sequence[ReserveStock | ReserveLines], wanted: Sequence[Sequence[ReservationLine]], work: Work
) -> Sequence[Reservation | Refusal]:
    stock = _Stock(work, (line.product_id for lines in wanted for line in lines))
    refusals = [stock.hold(lines, command) for command, lines in zip(commands, wanted, strict=True)]
    taken = [(c, lines) for c, lines, refusal in zip(commands, wanted, refusals, strict=True) if refusal is None]
    stock.write()
    now = work.connection.execute(_now).scalar_one()  # after the locks, which may have taken a while
    made = iter(_insert(taken, now, work))
    return [refusal or next(made) for refusal in refusals]


def _insert(
    taken: Sequence[tuple[ReserveStock | ReserveLines, Sequence[ReservationLine]]], now: int, work: Work
) -> list[Reservation]:
    if not taken:
        return []
    expiries = [now + command.seconds * 1000 for command, _ in taken]
    rows = [{"state": "held", "expires_ms": each} for each in expiries]
    ids = insert_all(work.connection, reservation, rows, returning=reservation.c.id)
    lines_of = dict(zip(ids, (lines for _, lines in taken), strict=True))
    insert_all(
        work.connection,
        reservation_line,
        [
            {"reservation_id": id_, "place": place, "product_id": line.product_id, "quantity": line.quantity}
            for id_, lines in lines_of.items()
            for place, line in enumerate(lines)
        ],
    )
    return [_reservation(id_, expiry, lines_of[id_]) for id_, expiry in zip(ids, expiries, strict=True)]


def _settle(
    commands: Sequence[CommitReservation | ReleaseReservation], state: Literal["committed", "released"], work: Work
) -> Sequence[ReservationEnded | Refusal]:
    rows = lock_all(work.connection, reservation, reservation.c.id, [each.reservation_id for each in commands])
    found = {row.id: row for row in rows}
    lines = _lines_of(work, list(found))
    stock = _Stock(work, (line.product_id for row in rows if row.state == "held" for line in lines[row.id]))
    now, states = work.connection.execute(_now).scalar_one(), {row.id: row.state for row in rows}
    replies: list[ReservationEnded | Refusal] = []
    for command in commands:
        if (row := found.get(command.reservation_id)) is None:
            replies.append(ReservationNotFound())
            continue
        refusal = _refusal_to(state, states[row.id], is_over=row.expires_ms <= now)
        if refusal is None and states[row.id] == "held":
            stock.end(lines[row.id], state, command)
            states[row.id] = state
        replies.append(refusal or _ended(row, lines[row.id], states[row.id]))
    stock.write()
    if settled := [row.id for row in rows if states[row.id] != row.state]:
        update_all(work.connection, reservation, reservation.c.id, settled, {"state": state})
    return replies


def _refusal_to(wanted: State, current: State, *, is_over: bool) -> Refusal | None:
    """Why a reservation in this state cannot be brought into the wanted one; None if it can, or is in it."""
    if wanted == "released":
        return ReservationCommitted() if current == "committed" else None
    if current == "released":
        return ReservationReleased()
    return ReservationExpired() if current == "expired" or (current == "held" and is_over) else None


def _ended(row: Row[Any], lines: Sequence[ReservationLine], state: State) -> ReservationEnded:
    ended = _reservation(row.id, row.expires_ms, lines, state)
    return ReservationEnded(reservation=ended, message=f"Reservation {state} successfully")


def _lines_of(work: Work, ids: Sequence[int]) -> dict[int, list[ReservationLine]]:
    rows = find_all(work.connection, reservation_line, reservation_line.c.reservation_id, ids) if ids else ()
    lines: dict[int, list[ReservationLine]] = {each: [] for each in ids}
    for row in sorted(rows, key=lambda row: row.place):
        lines[row.reservation_id].append(ReservationLine(product_id=row.product_id, quantity=row.quantity))
    return lines


def _reservation(id_: int, expires_ms: int, lines: Sequence[ReservationLine], state: State = "held") -> Reservation:
    (first, *others) = lines
    return Reservation(
        id=id_,
        lines=list(lines),
        expires_at=_EPOCH + timedelta(milliseconds=expires_ms),
        state=state,
        product_id=UNSET if others else first.product_id,
        quantity=UNSET if others else first.quantity,
    )
