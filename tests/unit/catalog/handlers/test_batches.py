"""Batches: each operation as it is alone, a result for each, all in one command with one effect."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select
from support.executing import execute

from bus import Client
from bus.contract.codec import encode
from bus.contract.validation import accept
from bus.database.engine import Database
from bus.database.tables import outbox
from bus.testing import running
from catalog.contract import ChangeProducts, CreateProduct, GetProduct, ListProducts, ReserveStock, RestoreProduct
from catalog.handlers import catalog
from catalog.handlers.service import CatalogSettings
from catalog.main import application

LAMP = {"name": "Lamp", "price": Decimal("9.9"), "quantity": 3}
ROUNDS = 25


def _batch(*operations: dict[str, Any], **more: Any) -> ChangeProducts:
    return accept({"operations": list(operations), **more}, ChangeProducts)


def _create(**fields: Any) -> dict[str, Any]:
    return {"create": {**LAMP, **fields}}


def _update(product_id: int, **fields: Any) -> dict[str, Any]:
    return {"update": {"product_id": product_id, **fields}}


def _delete(product_id: int, **fields: Any) -> dict[str, Any]:
    return {"delete": {"product_id": product_id, **fields}}


def _do(database: Database, *requests: Any) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *requests)


def _results(database: Database, *operations: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    ((status, body),) = _do(database, _batch(*operations, **more))
    assert status == 200
    results: list[dict[str, Any]] = body["results"]
    return results


def _events(database: Database) -> list[tuple[str, int, int]]:
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(outbox.c.name, outbox.c.body).order_by(outbox.c.id)).all()
    return [(row.name, body["id"], body["version"]) for row in rows for body in [json.loads(row.body)]]


def _names(database: Database) -> list[str]:
    ((_, page),) = _do(database, ListProducts())
    return [each["name"] for each in page["products"]]


def test_operations_follow_each_other_and_each_has_its_result_and_its_events(either_database: Database) -> None:
    results = _results(
        either_database,
        _create(sku="A"),
        _create(name="Desk", sku="A"),
        _update(1, name="Lantern", sku="B"),
        _create(name="Chair", sku="A"),
        _delete(1, expected_version=1),
        _delete(1, expected_version=2),
        _update(1, name="Ghost"),
        _create(name="Shelf", sku="B"),
    )
    assert [each["status"] for each in results] == [201, 409, 200, 201, 412, 200, 404, 201]
    assert [each["product"]["name"] for each in results if "product" in each] == ["Lamp", "Lantern", "Chair", "Shelf"]
    assert {each["status"]: each["problem"]["code"] for each in results if "problem" in each} == {
        409: "catalog.sku_taken",
        412: "catalog.version_conflict",
        404: "catalog.product_not_found",
    }
    assert results[1]["problem"]["product_id"] == 1
    assert [results[4]["problem"]["version"], set(results[5])] == [2, {"status"}]
    assert _names(either_database) == ["Chair", "Shelf"]
    chair, shelf = (results[place]["product"]["id"] for place in (3, 7))
    assert _events(either_database)[:2] == [("catalog.product_changed", 1, 1), ("catalog.product_changed", 1, 2)]
    assert _events(either_database)[2:] == [
        ("catalog.product_changed", chair, 1),
        ("catalog.product_removed", 1, 3),
        ("catalog.product_changed", shelf, 1),
    ]


def test_with_abort_the_first_refusal_undoes_all_of_it(either_database: Database) -> None:
    _do(either_database, CreateProduct(**LAMP))  # type: ignore[arg-type]
    before = _events(either_database)
    operations = [_create(name="Desk"), _update(1, name="Lantern"), _delete(9), _update(8, name="Ghost"), _delete(1)]
    results = _results(either_database, *operations, on_error="abort")
    assert [(each["status"], each["problem"]["code"]) for each in results] == [
        (424, "catalog.batch_aborted"),
        (424, "catalog.batch_aborted"),
        (404, "catalog.product_not_found"),
        (424, "catalog.batch_aborted"),
        (424, "catalog.batch_aborted"),
    ]
    assert not any("product" in each for each in results)
    assert (_names(either_database), _events(either_database)) == (["Lamp"], before)
    assert [each["status"] for each in _results(either_database, *operations[:2], on_error="abort")] == [201, 200]
    assert _names(either_database) == ["Lantern", "Desk"]


def test_a_batch_that_is_aborted_takes_nothing_back_of_other_commands(either_database: Database) -> None:
    create = CreateProduct(**LAMP)  # type: ignore[arg-type]
    aborted = _batch(_create(name="Desk"), _delete(99), on_error="abort")
    assert [status for status, _ in _do(either_database, create, aborted, create)] == [201, 200, 201]
    assert _names(either_database) == ["Lamp", "Lamp"]


def test_rules_of_stock_and_versions_hold_as_in_single_operations(
    either_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _results(either_database, _create())
    _do(either_database, ReserveStock(product_id=1, quantity=2))
    monkeypatch.setattr(catalog, "settings", CatalogSettings(require_if_match=True))
    statuses = [
        each["status"]
        for each in _results(
            either_database, _update(1, quantity=1), _update(1, quantity=1, expected_version=2), _delete(1)
        )
    ]
    assert statuses == [428, 409, 428]


def test_put_finds_the_product_by_its_sku_and_leaves_alone_what_is_so_already(either_database: Database) -> None:
    full = {**LAMP, "sku": "A", "tags": ["x", "x"], "description": "d", "attributes": {"w": 7.5}}
    first, again, changed, taken_away, unknown, made = _results(
        either_database,
        {"put": full},
        {"put": full},
        {"put": {"sku": "A", "price": Decimal("8")}},
        {"put": {"sku": "A", "tags": None, "description": None}},
        {"put": {"sku": "B", "price": Decimal("8")}},
        {"put": {**LAMP, "sku": "B"}},
    )
    assert [each["status"] for each in (first, again, changed, taken_away, made)] == [201, 200, 200, 200, 201]
    assert again == {**first, "status": 200}
    assert (changed["product"]["version"], changed["product"]["price"], changed["product"]["tags"]) == (2, 8.0, ["x"])
    assert (taken_away["product"]["version"], "tags" in taken_away["product"]) == (3, False)
    assert (unknown["status"], unknown["problem"]["code"]) == (404, "catalog.product_not_found")
    assert [version for _, id_, version in _events(either_database) if id_ == 1] == [1, 2, 3]
    (brief,) = _results(either_database, {"put": {"sku": "A", "quantity": 9}}, brief=True)
    assert brief == {"status": 200}


def test_put_on_the_sku_of_a_deleted_product_makes_a_new_one_and_the_old_one_cannot_come_back_with_it(
    either_database: Database,
) -> None:
    put = {"put": {**LAMP, "sku": "A"}}
    first, _, second = _results(either_database, put, _delete(1), put)
    assert [each["product"]["id"] for each in (first, second)] == [1, 2]
    ((status, refused),) = _do(either_database, RestoreProduct(product_id=1))
    assert (status, refused["code"], refused["product_id"]) == (409, "catalog.sku_taken", 2)


def test_batches_of_the_same_products_in_other_orders_do_not_block_each_other(either_database: Database) -> None:
    _results(either_database, *[_create() for _ in range(10)])
    forwards = [_update(each, quantity=each) for each in range(1, 11)]

    def change(number: int) -> list[int]:
        operations = forwards if number % 2 else list(reversed(forwards))
        return [each["status"] for each in _results(either_database, *operations[:5], *operations[5:])]

    with ThreadPoolExecutor(4) as threads:
        assert all(statuses == [200] * 10 for statuses in threads.map(change, range(ROUNDS)))
    ((_, last),) = _do(either_database, GetProduct(product_id=10))
    assert last["version"] == ROUNDS + 1


def test_a_batch_over_http_and_over_the_bus_is_one_command_with_one_effect() -> None:
    with running(application) as client:
        http = application.web(client).test_client()  # type: ignore[attr-defined]
        body = encode({"operations": [_create(), _delete(5)]})
        headers = {"Idempotency-Key": "batch-1", "Content-Type": "application/json"}
        first, again = (http.post("/products:batch", data=body, headers=headers) for _ in range(2))
        assert (first.status_code, first.data) == (again.status_code, again.data) == (200, first.data)
        assert [each["status"] for each in first.json["results"]] == [201, 404]
        assert _call(client) == [201, 404]
        assert len(client.call(ListProducts()).products) == 2


def _call(client: Client) -> list[int]:
    results = client.call(_batch(_create(), _delete(5)), message_id="batch-2").results
    assert results[0].product
    assert results[0].product.name == "Lamp"
    assert results[1].problem
    assert results[1].problem.code == "catalog.product_not_found"
    return [each.status for each in results]


# (operations, the status, the first fault)
FAULTS: list[tuple[Any, int, str]] = [
    ([], 422, "/operations"),
    ([_create()] * 501, 422, "/operations"),
    ([_create(), {}], 422, "/operations/1"),
    ([{**_create(), **_delete(1)}], 422, "/operations/0"),
    ([{"purge": {"product_id": 1}}], 422, "/operations/0/purge"),
    ([_create()] * 3 + [_create(price=Decimal("1.234"))], 422, "/operations/3/create/price"),
    ([_create(), _create(name=" ")], 422, "/operations/1/create/name"),
    ([{"create": {"name": "Lamp"}}], 400, "/operations/0/create/price"),
    ([_update(1, version=1, expected_version=2)], 422, "/operations/0/update/version"),
    ([{"put": {"name": "Lamp"}}], 400, "/operations/0/put/sku"),
    ([_delete(-1)], 422, "/operations/0/delete/product_id"),
]


@pytest.mark.parametrize(("operations", "status", "pointer"), FAULTS)
def test_a_fault_names_the_operation_and_nothing_is_carried_out(operations: Any, status: int, pointer: str) -> None:
    with running(application) as client:
        http = application.web(client).test_client()  # type: ignore[attr-defined]
        body = encode({"operations": operations})
        refused = http.post("/products:batch", data=body, content_type="application/json")
        assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (status, pointer)
        assert client.call(ListProducts()).products == []
