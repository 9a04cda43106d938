"""The feed beside the services it listens to, all in the process of their test."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from auth.contract import Register
from auth.main import application as auth
from bus import Client
from bus.testing import running, wait_until
from catalog.contract import CreateProduct, DeleteProduct, ProductNotFound, RestoreProduct, UpdateProduct
from catalog.main import application as catalog

from feed.contract import Entry, ListEntries
from feed.main import application
from feed.web import create_app

NEWS_SECONDS = 30.0


@pytest.fixture
def client() -> Iterator[Client]:
    with running(auth, catalog, application) as client:
        yield client


def test_every_change_of_a_product_is_noted_once_and_in_order(client: Client) -> None:
    product_id = _create(client)
    client.call(UpdateProduct(product_id=product_id, quantity=2))
    client.call(UpdateProduct(product_id=product_id, price=Decimal("8.50")))
    client.call(DeleteProduct(product_id=product_id))
    client.call(RestoreProduct(product_id=product_id))
    entries = _entries(client, 5)
    assert [(entry.kind, entry.id, entry.version) for entry in entries] == [
        ("product", product_id, version) for version in (1, 2, 3, 4, 5)
    ]
    assert [_body(entry).get("quantity") for entry in entries] == [3, 2, 2, None, 2]
    changed = {"id": product_id, "name": "Lamp", "price": 8.5, "quantity": 2, "available": 2, "version": 3}
    assert changed.items() <= _body(entries[2]).items()
    assert [entry.event for entry in entries[3:]] == ["catalog.product_removed", "catalog.product_restored"]


def test_changes_of_many_products_keep_the_order_of_each(client: Client) -> None:
    ids = [_create(client) for _ in range(3)]
    for quantity in range(5):
        for product_id in ids:
            client.call(UpdateProduct(product_id=product_id, quantity=quantity))
    entries = _entries(client, 18)
    for product_id in ids:
        assert [entry.version for entry in entries if entry.id == product_id] == [1, 2, 3, 4, 5, 6]


def test_a_new_user_is_noted_without_the_password(client: Client) -> None:
    user = client.call(Register(username="ada", email="ada@example.org", password="correct horse battery staple")).user
    (entry,) = _entries(client, 1)
    assert (entry.event, entry.kind, entry.id) == ("auth.user_changed", "user", user.id)
    body = _body(entry)
    assert (body["id"], body["username"], body["email"], body["version"]) == (user.id, "ada", "ada@example.org", 1)
    assert "password" not in body


def test_a_command_sent_twice_and_one_that_is_refused_leave_no_further_entry(client: Client) -> None:
    for _ in range(2):
        client.call(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3), message_id="lamp-1")
    with pytest.raises(ProductNotFound):
        client.call(UpdateProduct(product_id=1000, quantity=1))
    last = _create(client)
    assert [entry.id for entry in _entries(client, 2)][-1] == last


def test_the_feed_is_read_page_by_page_and_by_product(client: Client) -> None:
    ids = [_create(client) for _ in range(5)]
    client.call(UpdateProduct(product_id=ids[1], quantity=1))
    _entries(client, 6)
    http = create_app(client).test_client()
    path, pages = "/feed?limit=4", []
    while path:
        page: Any = http.get(path).json
        pages.append([entry["number"] for entry in page["entries"]])
        path = page["next"]
    assert pages == [[1, 2, 3, 4], [5, 6]]
    first: Any = http.get(f"/feed?product={ids[1]}&limit=1").json
    second: Any = http.get(first["next"]).json
    assert [page["entries"][0]["version"] for page in (first, second)] == [1, 2]
    assert second["next"] is None
    assert first["entries"][0]["noted_at"].endswith("Z")
    assert http.get("/feed?limit=0").status_code == 422


def _create(client: Client) -> int:
    return client.call(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3)).product.id


def _entries(client: Client, count: int) -> list[Entry]:
    """All entries, as soon as there are at least this many. Fails if there are more."""
    wait_until(lambda: len(_all(client)) >= count, NEWS_SECONDS, f"{count} entries")
    entries = _all(client)
    assert len(entries) == count
    return entries


def _all(client: Client) -> list[Entry]:
    return client.call(ListEntries(limit=500)).entries


def _body(entry: Entry) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(entry.body)
    return body
