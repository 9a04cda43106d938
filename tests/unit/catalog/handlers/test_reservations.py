"""Reservations: pieces are held, taken or given back, all lines or none, and never more than there are."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update
from support.executing import execute

from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.database.tables import outbox
from bus.messaging.connect import transport_for
from bus.testing import running, wait_until
from bus.worker.background.scheduled import ScheduledTask
from bus.worker.worker import Worker
from catalog.contract import (
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    GetProduct,
    GetReservation,
    InsufficientStock,
    ReleaseReservation,
    ReservationExpired,
    ReservationLine,
    ReserveLines,
    ReserveStock,
    StockChanged,
    UpdateProduct,
)
from catalog.handlers import catalog
from catalog.main import application
from catalog.tables import reservation

CROWD = 100
PIECES = 10
WORKERS = 4
WAIT_SECONDS = 30.0


def _do(database: Database, *requests: Operation[Any]) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *requests)


def _fill(database: Database, *quantities: int) -> None:
    _do(database, *(CreateProduct(name="Lamp", price=Decimal("9.9"), quantity=each) for each in quantities))


def _stock(database: Database, product_id: int = 1) -> tuple[int, int]:
    ((_, found),) = _do(database, GetProduct(product_id=product_id))
    return found["quantity"], found["available"]


def _expire_all(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(update(reservation).values(expires_ms=0))


def _sweep(database: Database) -> None:
    ScheduledTask(catalog.periodic["catalog.expire_reservations"], database, lambda: None).run_once()


def _lines(*pairs: tuple[int, int]) -> list[ReservationLine]:
    return [ReservationLine(product_id=product_id, quantity=quantity) for product_id, quantity in pairs]


def test_pieces_are_held_then_taken_or_given_back_and_each_change_is_one_event(either_database: Database) -> None:
    database = either_database
    _fill(database, 10)
    first, second, third = _do(database, *(ReserveStock(product_id=1, quantity=count) for count in (3, 4, 4)))
    assert [status for status, _ in (first, second, third)] == [201, 201, 409]
    assert (third[1]["code"], third[1]["available"]) == ("catalog.insufficient_stock", 3)
    assert first[1]["quantity"] == 3
    assert _stock(database) == (10, 3)
    ((status, ended),) = _do(database, CommitReservation(reservation_id=1))
    assert (status, ended["reservation"]["state"]) == (200, "committed")
    assert _stock(database) == (7, 3)
    assert _do(database, ReleaseReservation(reservation_id=2))[0][0] == 200
    assert _stock(database) == (7, 7)
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(outbox.c.name, outbox.c.body).order_by(outbox.c.id)).all()
    events = [(row.name.partition(".")[2], json.loads(row.body)) for row in rows]
    assert [(name, body["version"], body["quantity"], body["available"]) for name, body in events] == [
        ("product_changed", 1, 10, 10),
        ("stock_changed", 2, 10, 7),
        ("stock_changed", 3, 10, 3),
        ("stock_changed", 4, 7, 3),
        ("stock_changed", 5, 7, 7),
    ]
    assert [body.get("reason") for _, body in events] == [None, "reserved", "reserved", "committed", "released"]


def test_what_has_ended_stays_ended(either_database: Database) -> None:
    database = either_database
    _fill(database, 9)
    _do(database, *(ReserveStock(product_id=1, quantity=1) for _ in range(3)))
    done = _do(database, CommitReservation(reservation_id=1), CommitReservation(reservation_id=1))
    assert [status for status, _ in done] == [200, 200]
    assert _do(database, ReleaseReservation(reservation_id=1))[0][1]["code"] == "catalog.reservation_committed"
    done = _do(database, ReleaseReservation(reservation_id=2), ReleaseReservation(reservation_id=2))
    assert [status for status, _ in done] == [200, 200]
    assert _do(database, CommitReservation(reservation_id=2))[0][1]["code"] == "catalog.reservation_released"
    assert _do(database, CommitReservation(reservation_id=9))[0][0] == 404
    assert _do(database, GetReservation(reservation_id=9))[0][0] == 404
    assert _stock(database) == (8, 7)


def test_a_reservation_that_has_expired_cannot_be_committed_and_gives_its_pieces_back(
    either_database: Database,
) -> None:
    database = either_database
    _fill(database, 5)
    _do(database, *(ReserveStock(product_id=1, quantity=2) for _ in range(2)))
    _do(database, CommitReservation(reservation_id=2))
    _sweep(database)
    assert _stock(database) == (3, 1)
    _expire_all(database)
    assert _do(database, CommitReservation(reservation_id=1))[0][1]["code"] == "catalog.reservation_expired"
    assert _do(database, GetReservation(reservation_id=1))[0][1]["state"] == "expired"
    _sweep(database)
    assert _stock(database) == (3, 3)
    assert _do(database, CommitReservation(reservation_id=1))[0][1]["code"] == "catalog.reservation_expired"
    assert _do(database, ReleaseReservation(reservation_id=1))[0][1]["reservation"]["state"] == "expired"
    assert _do(database, GetReservation(reservation_id=2))[0][1]["state"] == "committed"


def test_lines_are_held_together_or_not_at_all(either_database: Database) -> None:
    database = either_database
    _fill(database, 5, 5)
    wishes = [[(1, 2), (2, 1), (1, 2)], [(2, 1), (1, 2)], [(1, 1), (7, 1)], [(2, 4), (1, 1)], [(2, 1)]]
    replies = _do(database, *(ReserveLines(lines=_lines(*each)) for each in wishes))
    assert [status for status, _ in replies] == [201, 409, 404, 201, 409]
    assert "product_id" not in replies[0][1]
    assert [line["quantity"] for line in replies[0][1]["lines"]] == [2, 1, 2]
    assert (replies[1][1]["product_id"], replies[1][1]["available"]) == (1, 1)
    assert [error["pointer"] for error in replies[1][1]["errors"]] == ["/lines/1/quantity"]
    assert [error["pointer"] for error in replies[2][1]["errors"]] == ["/lines/1/product_id"]
    assert (_stock(database, 1), _stock(database, 2)) == ((5, 0), (5, 0))
    _do(database, CommitReservation(reservation_id=1))
    assert (_stock(database, 1), _stock(database, 2)) == ((1, 0), (4, 0))
    _expire_all(database)
    _sweep(database)
    assert (_stock(database, 1), _stock(database, 2)) == ((1, 1), (4, 4))


def test_a_quantity_below_what_is_reserved_is_refused_and_a_product_that_is_gone_does_no_harm(
    either_database: Database,
) -> None:
    database = either_database
    _fill(database, 5, 5)
    _do(database, ReserveLines(lines=_lines((1, 3), (2, 3))))
    ((status, refused),) = _do(database, UpdateProduct(product_id=1, quantity=2))
    assert (status, refused["code"], refused["available"]) == (409, "catalog.insufficient_stock", 2)
    assert _do(database, UpdateProduct(product_id=1, quantity=4))[0][1]["product"]["available"] == 1
    _do(database, DeleteProduct(product_id=1))
    assert _do(database, CommitReservation(reservation_id=1))[0][0] == 200
    assert _stock(database, 2) == (2, 2)


def test_of_a_crowd_only_as_many_succeed_as_there_are_pieces(either_database: Database) -> None:
    """Half of them ask for one product alone, half for both in the one order or the other, in several transactions."""
    database = either_database
    _fill(database, PIECES, CROWD)
    alone = [ReserveStock(product_id=1, quantity=1)] * (CROWD // 2)
    both = [ReserveLines(lines=_lines((1, 1), (2, 1))), ReserveLines(lines=_lines((2, 1), (1, 1)))] * (CROWD // 4)
    with ThreadPoolExecutor(WORKERS) as pool:
        replies = [*pool.map(lambda request: _do(database, request)[0], [*alone, *both])]
    assert [status for status, _ in replies].count(201) == PIECES
    assert {body["code"] for status, body in replies if status != 201} == {"catalog.insufficient_stock"}
    assert _stock(database) == (PIECES, 0)


def test_a_reservation_expires_by_itself_also_if_no_worker_ran_at_that_time(
    database: Database, memory_url: str
) -> None:
    _fill(database, 3)
    _do(database, ReserveStock(product_id=1, quantity=2, seconds=1))
    assert _stock(database) == (3, 1)
    worker = Worker(catalog, transport_for(memory_url, "catalog"), database)
    worker.start()
    wait_until(lambda: _stock(database) == (3, 3), WAIT_SECONDS, "it has expired")
    assert worker.failure is None
    worker.stop(WAIT_SECONDS)


def test_a_caller_in_python_finds_how_many_pieces_are_available() -> None:
    with running(application) as client:
        client.call(CreateProduct(name="Lamp", price=Decimal("9.9"), quantity=3))
        with pytest.raises(InsufficientStock) as refused:
            client.call(ReserveStock(product_id=1, quantity=4))
        assert refused.value.available == 3
        client.call(ReserveStock(product_id=1, quantity=2, seconds=1))
        assert client.wait_for(StockChanged, lambda event: event.reason == "expired").available == 3
        with pytest.raises(ReservationExpired):
            client.call(CommitReservation(reservation_id=1))
