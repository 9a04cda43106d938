"""Reservations: pieces of products that are held for a time, and then taken or given back."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from bus import Command, Query, Refusal, Reply
from catalog.contract.fields import ProductId
from catalog.contract.products import InsufficientStock, ProductNotFound
from catalog.domain.stock import MOST_PIECES

ReservationId = Annotated[int, Meta(ge=0, le=2**63 - 1, examples=[1])]
Pieces = Annotated[int, Meta(ge=1, le=MOST_PIECES, examples=[2])]
# At most a week.
HoldSeconds = Annotated[int, Meta(ge=1, le=7 * 24 * 60 * 60, examples=[900])]


class ReservationLine(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So many pieces of one product."""

    product_id: ProductId
    quantity: Pieces


Lines = Annotated[list[ReservationLine], Meta(min_length=1, max_length=100)]


class ReservationNotFound(Refusal, code="catalog.reservation_not_found", status=404):
    """No reservation has this id."""


class ReservationExpired(Refusal, code="catalog.reservation_expired", status=409):
    """The reservation has expired, and its pieces are available again."""


class ReservationReleased(Refusal, code="catalog.reservation_released", status=409):
    """The reservation was released, and its pieces are available again."""


class ReservationCommitted(Refusal, code="catalog.reservation_committed", status=409):
    """The reservation was committed: its pieces are no longer in stock."""


class Reservation(Reply):
    """Pieces that are held until `expires_at`.

    `product_id` and `quantity` are those of a reservation with one line. `state` is what became of it.
    """

    id: int
    lines: list[ReservationLine]
    expires_at: Annotated[datetime, Meta(tz=True)]
    state: Literal["held", "committed", "released", "expired"]
    product_id: Annotated[int, Meta(examples=[1])] | UnsetType = UNSET
    quantity: Annotated[int, Meta(examples=[2])] | UnsetType = UNSET

    def location(self) -> str:
        """Where the reservation can be read."""
        return f"/reservations/{self.id}"


class ReservationEnded(Reply):
    """The answer to `CommitReservation` and `ReleaseReservation`."""

    reservation: Reservation
    message: str


class ReserveStock(
    Command[Reservation],
    name="catalog.reserve_stock",
    http="POST /products/{product_id}/reservations",
    status=201,
    refuses=[ProductNotFound, InsufficientStock],
    needs="catalog:write",
):
    """Hold pieces of a product for some seconds, so that nobody else can take them."""

    product_id: ProductId
    quantity: Pieces
    seconds: HoldSeconds = 900


class ReserveLines(
    Command[Reservation],
    name="catalog.reserve_lines",
    http="POST /reservations",
    status=201,
    refuses=[ProductNotFound, InsufficientStock],
    needs="catalog:write",
):
    """Hold pieces of several products for some seconds: all of them or none."""

    lines: Lines
    seconds: HoldSeconds = 900


class GetReservation(
    Query[Reservation],
    name="catalog.get_reservation",
    http="GET /reservations/{reservation_id}",
    refuses=[ReservationNotFound],
):
    """Read one reservation."""

    reservation_id: ReservationId


class CommitReservation(
    Command[ReservationEnded],
    name="catalog.commit_reservation",
    http="POST /reservations/{reservation_id}/commit",
    refuses=[ReservationNotFound, ReservationExpired, ReservationReleased],
    needs="catalog:write",
):
    """Take the pieces of a reservation out of the stock. A reservation that was committed before stays so."""

    reservation_id: ReservationId


class ReleaseReservation(
    Command[ReservationEnded],
    name="catalog.release_reservation",
    http="DELETE /reservations/{reservation_id}",
    refuses=[ReservationNotFound, ReservationCommitted],
    needs="catalog:write",
):
    """Make the pieces of a reservation available again. A reservation that has ended before stays as it is."""

    reservation_id: ReservationId
