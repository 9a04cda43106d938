"""Deleted products: gone for callers, restored with all they had, and purged after some days."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select, update
from support.executing import execute

from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.worker.background.scheduled import ScheduledTask
from catalog.contract import (
    ChangeStock,
    CommitReservation,
    CreateProduct,
    DeleteProduct,
    GetHistory,
    GetProduct,
    ListProducts,
    PatchProduct,
    ReleaseReservation,
    ReservationLine,
    ReserveLines,
    ReserveStock,
    RestoreProduct,
    UpdateProduct,
)
from catalog.handlers import catalog
from catalog.handlers.deletion import MOST_PURGED
from catalog.handlers.service import CatalogSettings
from catalog.tables import history, product


def _do(database: Database, *requests: Operation[Any]) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *requests)


def _lamp(**fields: Any) -> CreateProduct:
    return CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=5, **fields)


def _one(database: Database, request: Operation[Any]) -> tuple[int, dict[str, Any]]:
    (answer,) = _do(database, request)
    return answer


def _purge(database: Database) -> None:
    ScheduledTask(catalog.periodic["catalog.purge_products"], database, lambda: None).run_once()


def _age(database: Database, days: float) -> None:
    """Have the deletions of all products be older by so many days."""
    changes = {"deleted_ms": product.c.deleted_ms - int(days * 24 * 60 * 60 * 1000)}
    with database.transaction() as transaction:
        transaction.connection.execute(update(product).values(changes))


def test_a_deleted_product_is_404_for_all_but_a_restore(either_database: Database) -> None:
    database = either_database
    _do(database, _lamp(), _lamp())
    assert _one(database, DeleteProduct(product_id=1)) == (200, {"message": "Product deleted successfully"})
    requests: list[Operation[Any]] = [
        GetProduct(product_id=1),
        UpdateProduct(product_id=1, quantity=1),
        PatchProduct(product_id=1, quantity=1),
        ChangeStock(product_id=1, change=1, reason="found"),
        ReserveStock(product_id=1, quantity=1),
        ReserveLines(lines=[ReservationLine(product_id=2, quantity=1), ReservationLine(product_id=1, quantity=1)]),
        DeleteProduct(product_id=1),
    ]
    never = [GetProduct(product_id=9), UpdateProduct(product_id=9, quantity=1), DeleteProduct(product_id=9)]
    codes = [(status, body["code"]) for status, body in (_one(database, each) for each in [*requests, *never])]
    assert codes == [(404, "catalog.product_not_found")] * 10
    assert [each["id"] for each in _one(database, ListProducts())[1]["products"]] == [2]
    assert _one(database, GetProduct(product_id=2))[1]["available"] == 5


def test_a_restored_product_has_all_it_had(either_database: Database) -> None:
    database = either_database
    full = {"sku": "L-1", "tags": ["light"], "description": "Bright.", "attributes": {"watts": 7}}
    created = _one(database, _lamp(**full))[1]["product"]
    _do(database, DeleteProduct(product_id=1))
    status, restored = _one(database, RestoreProduct(product_id=1))
    assert (status, restored["message"]) == (200, "Product restored successfully")
    changed = {"version": 3, "updated_at": restored["product"]["updated_at"]}
    assert restored["product"] == {**created, **changed} == _one(database, GetProduct(product_id=1))[1]
    again = _one(database, RestoreProduct(product_id=1))
    assert again == (200, restored), "what is not deleted stays as it is"
    assert _one(database, RestoreProduct(product_id=9))[0] == 404


def test_deletions_of_one_batch_are_refused_one_by_one(either_database: Database) -> None:
    database = either_database
    _do(database, *[_lamp(sku=f"L-{number}") for number in range(4)])
    wishes = [(1, 1), (2, 7), (1, 1), (9, 1), (3, 1)]
    replies = _do(database, *(DeleteProduct(product_id=id_, expected_version=version) for id_, version in wishes))
    assert [status for status, _ in replies] == [200, 412, 404, 404, 200]
    assert [each["id"] for each in _one(database, ListProducts())[1]["products"]] == [2, 4]


def test_the_sku_of_a_deleted_product_is_free_and_a_restore_needs_it_back(either_database: Database) -> None:
    database = either_database
    _do(database, _lamp(sku="L-1"))
    _do(database, DeleteProduct(product_id=1))
    assert _one(database, _lamp(sku="L-1"))[0] == 201
    status, refused = _one(database, RestoreProduct(product_id=1))
    assert (status, refused["code"], refused["product_id"]) == (409, "catalog.sku_taken", 2)
    assert _one(database, GetProduct(product_id=1))[0] == 404
    _do(database, UpdateProduct(product_id=2, sku=None))
    status, restored = _one(database, RestoreProduct(product_id=1))
    assert (status, restored["product"]["sku"]) == (200, "L-1")
    assert _one(database, _lamp(sku="L-1"))[0] == 409


def test_the_list_shows_deleted_products_when_asked(either_database: Database) -> None:
    database = either_database
    _do(database, _lamp(sku="L-1"), _lamp())
    _do(database, DeleteProduct(product_id=1))
    shown = _one(database, ListProducts(include_deleted=True))[1]["products"]
    assert [(each["id"], each["version"], "deleted_at" in each) for each in shown] == [(1, 2, True), (2, 1, False)]
    assert shown[0]["sku"] == "L-1"
    assert [each["id"] for each in _one(database, ListProducts(include_deleted=False))[1]["products"]] == [2]


@pytest.mark.parametrize(("ending", "counts"), [(CommitReservation, (3, 3)), (ReleaseReservation, (5, 5))])
def test_a_reservation_that_ends_while_its_product_is_deleted_counts_when_it_is_restored(
    either_database: Database, ending: Any, counts: tuple[int, int]
) -> None:
    database = either_database
    _do(database, _lamp())
    _do(database, ReserveStock(product_id=1, quantity=2))
    _do(database, DeleteProduct(product_id=1))
    assert _one(database, ending(reservation_id=1))[0] == 200
    found = _one(database, RestoreProduct(product_id=1))[1]["product"]
    assert (found["quantity"], found["available"], found["version"]) == (*counts, 4)


def test_a_product_is_purged_when_it_was_deleted_long_enough_ago(
    either_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = either_database
    monkeypatch.setattr(catalog, "settings", CatalogSettings(keep_deleted_days=3))
    _do(database, *(_lamp() for _ in range(MOST_PURGED + 5)))
    _do(database, *(UpdateProduct(product_id=id_, quantity=1) for id_ in (1, 2, 3)))
    _do(database, *(DeleteProduct(product_id=id_ + 1) for id_ in range(MOST_PURGED + 4)))
    _do(database, RestoreProduct(product_id=1))
    _age(database, 2.9)
    _purge(database)
    assert _one(database, RestoreProduct(product_id=2))[0] == 200
    _age(database, 0.2)
    _purge(database)
    left = _one(database, ListProducts(include_deleted=True))[1]["products"]
    assert [each["id"] for each in left] == [1, 2, MOST_PURGED + 5], "all at once, however many there are"
    assert _one(database, RestoreProduct(product_id=3))[0] == 404
    assert _one(database, GetHistory(product_id=3))[0] == 404
    assert len(_one(database, GetHistory(product_id=1))[1]["history"]) == 4
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(history).where(history.c.product_id == 3)).all()
        names = select(func.count()).where(history.c.product_id > 2, history.c.product_id < MOST_PURGED + 5)
        assert transaction.connection.execute(names).scalar_one() == MOST_PURGED + 2
    assert [(row.version, row.event, row.name, row.price) for row in rows] == [
        (3, "catalog.product_removed", None, None)
    ]
    _purge(database)
    assert _one(database, _lamp())[1]["product"]["id"] == MOST_PURGED + 6, "an id is never used again"
