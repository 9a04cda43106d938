"""SKUs, tags, descriptions and attributes: given, changed and taken away, by themselves and in batches."""

import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from msgspec import UNSET
from sqlalchemy import select
from support.executing import execute

from bus import Client, Command, Invalid
from bus.contract.validation import accept
from bus.database.engine import Database
from bus.database.tables import outbox
from bus.testing import running
from catalog.contract import (
    ChangeStock,
    CreateProduct,
    GetProduct,
    ListProducts,
    PatchProduct,
    ReserveStock,
    UpdateProduct,
)
from catalog.handlers import catalog
from catalog.main import application

LAMP = {"name": "Lamp", "price": Decimal("9.9"), "quantity": 3}
FULL: dict[str, Any] = {
    "sku": "L 1",
    "tags": ["light", "sale"],
    "description": "Bright.\n\tVery.",
    "attributes": {"colour": "red", "watts": 7.5, "pieces": 3, "is_new": True},
}
WORKERS = 4


def _do(database: Database, *requests: Any) -> list[tuple[int, dict[str, Any]]]:
    return execute(catalog, database, *requests)


def _lamp(**fields: Any) -> CreateProduct:
    return accept({**LAMP, **fields}, CreateProduct)


def _fill(database: Database, *skus: str | None) -> None:
    assert {status for status, _ in _do(database, *(_lamp(sku=each) for each in skus))} == {201}


def _get(database: Database, product_id: int = 1) -> dict[str, Any]:
    ((status, found),) = _do(database, GetProduct(product_id=product_id))
    assert status == 200
    return found


def _events(database: Database) -> list[tuple[str, dict[str, Any]]]:
    with database.reading() as transaction:
        rows = transaction.connection.execute(select(outbox.c.name, outbox.c.body).order_by(outbox.c.id)).all()
    return [(row.name, json.loads(row.body)) for row in rows]


def test_what_is_given_is_read_listed_and_in_the_event(either_database: Database) -> None:
    full, plain = _do(either_database, _lamp(**FULL), _lamp())
    assert (
        full[1]["product"]
        == _get(either_database)
        == {**_get(either_database, 2), "id": 1, **FULL} | {"updated_at": full[1]["product"]["updated_at"]}
    )
    assert not FULL.keys() & plain[1]["product"].keys()
    ((_, page),) = _do(either_database, ListProducts())
    assert page["products"] == [full[1]["product"], plain[1]["product"]]
    assert _events(either_database) == [("catalog.product_changed", each) for each in page["products"]]


def test_null_takes_a_field_away_and_what_is_left_out_stays(either_database: Database) -> None:
    _do(either_database, _lamp(**FULL))
    for name in FULL:
        change = accept({"product_id": 1, name: None}, PatchProduct)
        ((status, body),) = _do(either_database, change)
        assert status == 200
        assert name not in body["product"]
        assert body["product"] == _get(either_database) == _events(either_database)[-1][1]
    assert not FULL.keys() & _get(either_database).keys()
    assert _do(either_database, accept({"product_id": 1, **FULL}, UpdateProduct))[0][0] == 200
    assert _get(either_database).items() >= FULL.items()


@pytest.mark.parametrize("empty", [{"tags": []}, {"description": ""}, {"attributes": {}}])
def test_what_is_empty_is_not_there(database: Database, empty: dict[str, Any]) -> None:
    _do(database, _lamp(**empty), _lamp(**FULL))
    _do(database, accept({"product_id": 2, **empty}, PatchProduct if "attributes" not in empty else UpdateProduct))
    assert not empty.keys() & (_get(database).keys() | _get(database, 2).keys())


def test_each_tag_is_kept_once_in_the_order_given(database: Database) -> None:
    _do(database, _lamp(tags=["b", "a", "b", "A", "a"]))
    assert _get(database)["tags"] == ["b", "a", "A"]


def test_a_patch_merges_attributes_and_a_put_replaces_them(either_database: Database) -> None:
    database = either_database
    _do(database, _lamp(attributes={"a": 1, "b": 2}))
    patches: list[dict[str, Any]] = [{"b": None, "c": "x"}, {"a": 4}, {}]
    changes = [accept({"product_id": 1, "attributes": each}, PatchProduct) for each in patches]
    replies = _do(database, *changes)
    seen = [body["product"]["attributes"] for _, body in replies]
    assert seen == [{"a": 1, "c": "x"}, {"a": 4, "c": "x"}, {"a": 4, "c": "x"}]
    _do(database, accept({"product_id": 1, "attributes": {"d": False}}, UpdateProduct))
    assert _get(database)["attributes"] == {"d": False}
    _do(database, accept({"product_id": 1, "attributes": {"d": None}}, PatchProduct))
    assert "attributes" not in _get(database)


def test_attributes_that_become_too_long_are_refused(database: Database) -> None:
    _do(database, _lamp(attributes={"a": "x" * 5000}))
    ((status, refused),) = _do(database, PatchProduct(product_id=1, attributes={"b": "x" * 5000}))
    assert (status, refused["code"]) == (409, "catalog.attributes_too_large")
    assert refused["errors"][0]["pointer"] == "/attributes"
    assert _get(database)["version"] == 1


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"sku": " A"}, "/sku"),
    ({"sku": "A\u200b1"}, "/sku"),
    ({"sku": ""}, "/sku"),
    ({"sku": "A\n1"}, "/sku"),
    ({"sku": "x" * 101}, "/sku"),
    ({"tags": ["a"] * 51}, "/tags"),
    ({"tags": ["a", ["b"]]}, "/tags/1"),
    ({"tags": ["a", " "]}, "/tags/1"),
    ({"tags": "a"}, "/tags"),
    ({"description": "x" * 10_001}, "/description"),
    ({"description": "a\x00b"}, "/description"),
    ({"description": "a\x1bb\n"}, "/description"),
    ({"attributes": []}, "/attributes"),
    ({"attributes": {"a": {"b": 1}}}, "/attributes/a"),
    ({"attributes": {"a": [1]}}, "/attributes/a"),
    ({"attributes": {"a": None}}, "/attributes/a"),
    ({"attributes": {"a": "b\nc"}}, "/attributes/a"),
    ({"attributes": {"a": 10**15 + 1}}, "/attributes/a"),
    ({"attributes": {"a": -1.5e15}}, "/attributes/a"),
    ({"attributes": {"": 1}}, "/attributes"),
    ({"attributes": {"x" * 65: 1}}, "/attributes"),
    ({"attributes": {"a": "ä" * 4093}}, "/attributes"),
]


@pytest.mark.parametrize(("fields", "pointer"), FAULTS)
def test_what_does_not_fit_is_named(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        _lamp(**fields)
    assert refused.value.problem.status == 422
    assert [error.pointer for error in refused.value.problem.errors] == [pointer]


def test_what_just_fits_is_taken(database: Database) -> None:
    most = {
        "sku": "x" * 100,
        "tags": [str(each) for each in range(50)],
        "description": "\n" * 10_000,
        "attributes": {"x" * 64: "", "a": "ä" * ((8192 - 64 - len('{"":"","a":""}')) // 2)},
    }
    _do(database, _lamp(**most))
    assert _get(database).items() >= most.items()


def test_two_products_never_have_the_same_sku(either_database: Database) -> None:
    database = either_database
    replies = _do(database, _lamp(sku="A"), _lamp(), _lamp(sku="A"), _lamp(sku="B"), _lamp(sku="a"))
    assert [status for status, _ in replies] == [201, 201, 409, 201, 201]
    again = _do(database, _lamp(sku="B"), _lamp(sku="C"))
    refused = [replies[2][1], again[0][1]]
    assert [(each["code"], each["product_id"]) for each in refused] == [
        ("catalog.sku_taken", 1),
        ("catalog.sku_taken", 3),
    ]
    assert refused[0]["detail"] == "The product 1 has the SKU A."
    assert [error["pointer"] for error in refused[0]["errors"]] == ["/sku"]
    assert again[1][1]["product"]["sku"] == "C"


def test_skus_move_from_product_to_product_in_one_batch(either_database: Database) -> None:
    database = either_database
    _fill(database, "A", "B", "C", None)

    def give(product_id: int, sku: str | None) -> UpdateProduct:
        return UpdateProduct(product_id=product_id, sku=sku)

    replies = _do(
        database, give(1, "B"), give(1, "A"), give(4, "A"), give(1, "X"), give(4, "A"), give(2, None), give(3, "B")
    )
    assert [status for status, _ in replies] == [409, 200, 409, 200, 200, 200, 200]
    assert [_get(database, each).get("sku") for each in (1, 2, 3, 4)] == ["X", None, "B", "A"]
    replies = _do(database, give(1, "Y"), give(2, "X"), give(1, "Z"), give(3, "Y"), give(2, "Z"))
    assert [status for status, _ in replies] == [200, 200, 200, 200, 409]
    assert [_get(database, each).get("sku") for each in (1, 2, 3, 4)] == ["Z", "X", "Y", "A"]


def test_of_many_that_ask_for_one_sku_at_the_same_moment_one_gets_it(either_database: Database) -> None:
    database = either_database
    _fill(database, *[None] * 10)
    crowd = [_lamp(sku="A"), *(UpdateProduct(product_id=each, sku="A") for each in range(1, 11)), _lamp(sku="A")]
    with ThreadPoolExecutor(WORKERS) as pool:
        replies = [reply for found in pool.map(lambda each: _do(database, each), crowd) for reply in found]
    assert [status for status, _ in replies].count(409) == len(crowd) - 1
    owners = {body["product_id"] for status, body in replies if status == 409}
    ((_, page),) = _do(database, ListProducts())
    assert [each["id"] for each in page["products"] if each.get("sku") == "A"] == [*owners]


def test_each_version_has_its_moment_and_never_an_earlier_one(either_database: Database) -> None:
    database = either_database
    _fill(database, None)
    changes: list[Command[Any]] = [
        UpdateProduct(product_id=1, quantity=5),
        ChangeStock(product_id=1, change=1, reason="found"),
        ReserveStock(product_id=1, quantity=1),
        PatchProduct(product_id=1, name="Lantern"),
    ]
    for each in changes:
        _do(database, each)
    moments = [body["updated_at"] for _, body in _events(database)]
    assert len(moments) == 5
    assert moments == sorted(moments)
    assert moments[-1] == _get(database)["updated_at"]


def test_a_caller_in_python_reads_what_it_wrote() -> None:
    with running(application) as client:
        _round_trip(client)


def _round_trip(client: Client) -> None:
    made = client.call(CreateProduct(**LAMP, **FULL)).product  # type: ignore[arg-type]
    assert client.call(GetProduct(product_id=made.id)) == made
    assert (made.sku, made.tags, made.attributes) == (FULL["sku"], FULL["tags"], FULL["attributes"])
    changed = client.call(PatchProduct(product_id=made.id, tags=None)).product
    assert changed.tags is UNSET
    assert changed.updated_at is not UNSET
    assert made.updated_at is not UNSET
    assert changed.updated_at >= made.updated_at
