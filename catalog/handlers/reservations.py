"""Reservations: hold pieces of products, commit or release them, and expire by themselves.

All of them lock what they change in one order: reservations before products, each by their ids. So none waits for
another that waits for it. A reservation cannot be committed from the moment that it expires; its pieces are available
again after the next run of `expire_reservations`.
"""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import UNSET
from sqlalchemy import ColumnElement, Row, select

from bus import Refusal, Work
from bus.database import find_all, insert_all, lock_all, update_all
from catalog.contract import (
    CommitReservation,
    GetReservation,
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
)
from catalog.domain.moments import moment
from catalog.handlers.service import catalog
from catalog.handlers.stock import Stock
from catalog.tables import is_held, now_ms, reservation, reservation_line

# Between two looks for reservations that have expired, and how many are ended together.
EXPIRY_SECONDS = 0.5
MOST_EXPIRED = 200

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
    stock = Stock(work, (line.product_id for each in held for line in lines[each]))
    for each in held:
        stock.end(lines[each], "expired")
    stock.write()
    if held:
        update_all(work.connection, reservation, reservation.c.id, held, {"state": "expired"})


def _reserve(
    commands: Sequence[ReserveStock | ReserveLines], wanted: Sequence[Sequence[ReservationLine]], work: Work
) -> Sequence[Reservation | Refusal]:
    stock = Stock(work, (line.product_id for lines in wanted for line in lines))
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
    stock = Stock(work, (line.product_id for row in rows if row.state == "held" for line in lines[row.id]))
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
        expires_at=moment(expires_ms),
        state=state,
        product_id=UNSET if others else first.product_id,
        quantity=UNSET if others else first.quantity,
    )
