"""Versions of products: no caller undoes the change of another, or reads again what has not changed."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from flask.testing import FlaskClient
from support.executing import execute

from bus.database.engine import Database
from bus.testing import running
from catalog.contract import CreateProduct, DeleteProduct, PatchProduct, UpdateProduct
from catalog.handlers import catalog
from catalog.handlers.service import CatalogSettings
from catalog.main import application

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}


@pytest.fixture(scope="module")
def front_end() -> Iterator[FlaskClient]:
    with running(application) as client:
        yield application.web(client).test_client()  # type: ignore[attr-defined]


@pytest.fixture
def path(front_end: FlaskClient) -> str:
    """Of a new product."""
    return front_end.post("/products", json=LAMP).headers["Location"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_of_an_older_version_is_refused(front_end: FlaskClient, path: str, method: str) -> None:
    read = front_end.get(path)
    assert (read.headers["ETag"], read.headers["Cache-Control"]) == ('"1"', "no-cache")

    def change(tag: str, **body: Any) -> Any:
        return front_end.open(path, method=method, json=body, headers={"If-Match": tag})

    changed = change('"1"', quantity=5)
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    stale = change('"1"', quantity=6)
    assert (stale.status_code, stale.json["code"], stale.json["version"]) == (412, "catalog.version_conflict", 2)
    assert front_end.get(path).json["quantity"] == 5  # type: ignore[index]
    assert change("*", quantity=7).status_code == 200
    doubled = change('"3"', quantity=8, expected_version=3)
    assert (doubled.status_code, doubled.json["code"]) == (422, "unknown-field")
    assert front_end.delete(path, headers={"If-Match": '"1"'}).status_code == 412
    assert front_end.delete(path, headers={"If-Match": '"3"'}).status_code == 200


# The last is a tag of ours with more after it, behind many blanks.
MALFORMED = ['W/"1"', "1", '"1', '"one"', '"1", "2"', '"-1"', "", f'"{"1" * 19}"', "*, *", f'"1"{" " * 200}x']


@pytest.mark.parametrize("tag", MALFORMED)
def test_an_if_match_that_is_not_one_strong_tag_of_ours_is_400(front_end: FlaskClient, path: str, tag: str) -> None:
    refused = front_end.put(path, json={"quantity": 1}, headers={"If-Match": tag})
    assert (refused.status_code, refused.json["code"]) == (400, "invalid-if-match")  # type: ignore[index]


def test_what_has_not_changed_is_304_without_a_body(front_end: FlaskClient, path: str) -> None:
    for asked in (path, "/products?limit=1"):
        tag = front_end.get(asked).headers["ETag"]
        for header in (tag, f'"x", W/{tag}', "*"):
            again = front_end.get(asked, headers={"If-None-Match": header})
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert front_end.get(asked, headers={"If-None-Match": '"x"'}).status_code == 200
    assert front_end.get("/products/0", headers={"If-None-Match": "*"}).status_code == 404


def test_a_duplicate_has_the_tag_of_the_first_answer(front_end: FlaskClient, path: str) -> None:
    headers = {"Idempotency-Key": f"key{path}"}
    for _ in range(2):
        answer = front_end.put(path, json={"quantity": 9}, headers=headers)
        assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')


def test_a_merge_patch_is_json_and_null_removes_nothing_that_is_required(front_end: FlaskClient, path: str) -> None:
    kind = "application/merge-patch+json; charset=utf-8"
    patched = front_end.patch(path, data='{"price": 8}', content_type=kind)
    assert (patched.status_code, patched.json["product"]["price"]) == (200, 8)  # type: ignore[index]
    assert front_end.patch(path, data='{"price": null}', content_type=kind).status_code == 422
    assert front_end.put(path, data='{"price": 8}', content_type=kind).status_code == 415


def test_a_product_can_be_sent_back_as_it_was_read(front_end: FlaskClient, path: str) -> None:
    product = front_end.get(path).json
    assert product is not None
    assert front_end.put(path, json={**product, "quantity": 4}).json["product"]["version"] == 2  # type: ignore[index]
    assert front_end.put(path, json={**product, "quantity": 5}).status_code == 412
    other = front_end.put(path, json={**product, "id": product["id"] + 1, "version": 2})
    assert (other.status_code, other.json["errors"][0]["pointer"]) == (422, "/id")  # type: ignore[index]


def test_versions_can_be_made_obligatory(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(catalog, database, CreateProduct(name="Lamp", price=Decimal("9.9"), quantity=3))
    monkeypatch.setattr(catalog, "settings", CatalogSettings(require_if_match=True))
    changes = [UpdateProduct(product_id=1, quantity=2), UpdateProduct(product_id=1, quantity=2, version=1)]
    assert [status for status, _ in execute(catalog, database, *changes)] == [428, 200]
    patches = [PatchProduct(product_id=1, quantity=1), PatchProduct(product_id=1, quantity=1, expected_version=2)]
    assert [status for status, _ in execute(catalog, database, *patches)] == [428, 200]
    deletes = [DeleteProduct(product_id=1), DeleteProduct(product_id=1, expected_version=3)]
    assert [execute(catalog, database, each)[0][0] for each in deletes] == [428, 200]
