"""The history of products: every change with what was before and after it, by whom, page by page."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, update
from support.executing import execute

from bus import Caller
from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.messaging.call import Call
from bus.worker.background.scheduled import ScheduledTask
from bus.worker.execution import Executor
from catalog.contract import (
    ChangeStock,
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    GetHistory,
    GetProduct,
    PatchProduct,
    ReserveStock,
    RestoreProduct,
    UpdateProduct,
)
from catalog.handlers import catalog
from catalog.tables import reservation

ANN = Caller(id="7", scopes=frozenset(["catalog:write"]))


def _do(database: Database, *requests: Operation[Any]) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *requests)


def _lamp(price: str = "9.90", **fields: Any) -> CreateProduct:
    return CreateProduct(name="Lamp", price=Decimal(price), quantity=5, **fields)


def _history(database: Database, product_id: int = 1, **query: Any) -> list[dict[str, Any]]:
    ((status, page),) = _do(database, GetHistory(product_id=product_id, **query))
    assert status == 200
    return list(page["history"])


def _shown(database: Database, product_id: int = 1) -> dict[str, Any]:
    ((_, found),) = _do(database, GetProduct(product_id=product_id))
    return found


def test_every_kind_of_change_is_in_the_history(either_database: Database) -> None:
    database = either_database
    changes: Sequence[Operation[Any]] = (
        _lamp(sku="L-1", tags=["light"]),
        UpdateProduct(product_id=1, price=Decimal("8.50")),
        PatchProduct(product_id=1, attributes={"watts": 7}, sku=None),
        ChangeStock(product_id=1, change=-1, reason="sold"),
        ReserveStock(product_id=1, quantity=1),
        CommitReservation(reservation_id=1),
        ReserveStock(product_id=1, quantity=2),
    )
    states: list[dict[str, Any] | None] = [None]
    for change in changes:
        _do(database, change)
        states.append(_shown(database))
    with database.transaction() as transaction:
        transaction.connection.execute(update(reservation).values(expires_ms=0))
    ScheduledTask(catalog.periodic["catalog.expire_reservations"], database, lambda: None).run_once()
    states.append(_shown(database))
    _do(database, DeleteProduct(product_id=1))
    states.append(None)
    _do(database, RestoreProduct(product_id=1))
    states.append(_shown(database))
    entries = _history(database)
    assert [each["version"] for each in entries] == list(range(10, 0, -1))
    assert [each["after"] for each in reversed(entries)] == states[1:]
    assert [each["before"] for each in reversed(entries)] == states[:-1]
    assert [each["at"] for each in reversed(entries) if each["after"]] == [
        each["updated_at"] for each in states if each
    ]
    assert {each["by"] for each in entries} == {None}


def test_prices_of_all_time_are_in_it(either_database: Database) -> None:
    _do(either_database, _lamp("9.90"))
    for price in ("8.50", "12.00"):
        _do(either_database, UpdateProduct(product_id=1, price=Decimal(price)))
    assert [each["after"]["price"] for each in _history(either_database)] == [12.0, 8.5, 9.9]


def test_it_has_the_account_that_made_a_change(either_database: Database) -> None:
    executor = Executor(catalog.handlers, either_database)
    requests = (_lamp(), UpdateProduct(product_id=1, quantity=3), DeleteProduct(product_id=1))
    executor.execute([Call(type(each), each, None, ANN) for each in requests])
    _do(either_database, RestoreProduct(product_id=1))
    assert [each["by"] for each in _history(either_database)] == [None, "7", "7", "7"]


def test_a_batch_that_changes_a_product_several_times_leaves_each_version(either_database: Database) -> None:
    _do(either_database, _lamp(), _lamp())
    _do(either_database, *(UpdateProduct(product_id=1 + number % 2, quantity=number) for number in range(6)))
    for product_id in (1, 2):
        entries = _history(either_database, product_id)
        assert [each["version"] for each in entries] == [4, 3, 2, 1]
        quantities = [each["after"]["quantity"] for each in entries]
        assert quantities == [product_id + 3, product_id + 1, product_id - 1, 5]


def test_what_is_refused_or_changes_nothing_is_not_in_it(either_database: Database) -> None:
    _do(either_database, _lamp(sku="L-1"))
    refused = (
        _lamp(sku="L-1"),
        UpdateProduct(product_id=1),
        UpdateProduct(product_id=1, quantity=1, expected_version=7),
        ChangeStock(product_id=1, change=-6, reason="sold"),
        ReserveStock(product_id=1, quantity=6),
        DeleteProduct(product_id=1, expected_version=7),
        RestoreProduct(product_id=1),
    )
    for each in refused:
        _do(either_database, each)
    assert [each["version"] for each in _history(either_database)] == [1]


@pytest.mark.parametrize("sort", ["-version", "version"])
def test_pages_lead_through_it_with_the_version_before_each_page(either_database: Database, sort: str) -> None:
    _do(either_database, _lamp())
    for quantity in range(6):
        _do(either_database, UpdateProduct(product_id=1, quantity=quantity))
    whole = _history(either_database, sort=sort)
    pages: list[dict[str, Any]] = []
    query = GetHistory(product_id=1, limit=3, sort=sort)  # type: ignore[arg-type]
    for length in (3, 3, 1):
        ((_, page),) = _do(either_database, query)
        assert len(page["history"]) == length
        pages += page["history"]
        if page["next"]:
            cursor = page["next"].partition("cursor=")[2]
            query = GetHistory(product_id=1, limit=3, sort=sort, cursor=cursor)  # type: ignore[arg-type]
    assert page["next"] is None
    assert pages == whole
    assert [each["version"] for each in pages] == sorted(range(1, 8), reverse=sort == "-version")


@pytest.fixture
def inserts(either_database: Database) -> Iterator[list[str]]:
    """The statements that write to the history."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO product_history"):
            seen.append(statement)

    engine = either_database._engine
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("count", [1, 300])
def test_a_batch_costs_one_statement(either_database: Database, inserts: list[str], count: int) -> None:
    _do(either_database, *(_lamp() for _ in range(count)))
    assert len(inserts) == 1
    _do(either_database, *(UpdateProduct(product_id=1 + number, quantity=1) for number in range(count)))
    assert len(inserts) == 2
    _do(either_database, *(ChangeStock(product_id=1, change=1, reason="found") for _ in range(count)))
    assert len(inserts) == 3
    _do(either_database, *(DeleteProduct(product_id=1 + number) for number in range(count)))
    assert len(inserts) == 4
