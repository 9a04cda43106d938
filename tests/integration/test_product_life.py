"""The life of a product over HTTP and from the queues alone: deleted, restored, read back, replayed to a listener."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pika
import pytest
from click.testing import CliRunner
from support.long_timeouts import use_long_timeouts
from support.plain_publisher import PlainPublisher
from support.worker_threads import OPERATOR_TOKEN, System

from bus.cli import bus
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from catalog.handlers import catalog
from catalog.web import create_app

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3, "sku": "L-1"}
QUEUE = "copies.events"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    use_long_timeouts(monkeypatch)


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Both kinds of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
def system(broker_url: str, catalog_url: str) -> Iterator[System]:
    database = Database(catalog_url)
    migrate(database, "catalog.migrations")
    with System(broker_url) as system:
        system.start(catalog, database)
        yield system


def _versions(history: dict[str, Any]) -> list[tuple[int, bool, bool]]:
    return [(each["version"], bool(each["before"]), bool(each["after"])) for each in history["history"]]


LIFE = [(4, False, True), (3, True, False), (2, True, True), (1, False, True)]


def test_over_http(system: System) -> None:
    with Client(system.url) as client:
        http = create_app(client).test_client()
        path = http.post("/products", json=LAMP).headers["Location"]
        http.patch(path, json={"price": 8.5})
        assert http.delete(path).json == {"message": "Product deleted successfully"}
        assert (http.get(path).status_code, http.delete(path).status_code) == (404, 404)
        listed: Any = http.get("/products?include_deleted=true").json
        assert [each["price"] for each in listed["products"] if "deleted_at" in each] == [8.5]
        restored = http.post(f"{path}/restore")
        assert (restored.status_code, restored.headers["ETag"]) == (200, '"4"')
        assert restored.json == {"message": "Product restored successfully", "product": http.get(path).json}
        history: Any = http.get(f"{path}/history").json
        assert _versions(history) == LIFE
        first: Any = http.get(f"{path}/history?limit=3").json
        assert _versions(first) + _versions(http.get(first["next"]).json) == LIFE  # type: ignore[arg-type]
        assert http.get("/products/4711/history").status_code == 404


def test_from_the_queues_alone_and_replayed_with_the_ids_of_the_history(
    system: System, broker_url: str, catalog_url: str
) -> None:
    publisher = PlainPublisher(broker_url)
    product_id = publisher.call("catalog.create_product", **LAMP)["product"]["id"]
    publisher.call("catalog.patch_product", product_id=product_id, price=8.5)
    publisher.call("catalog.delete_product", product_id=product_id)
    assert publisher.ask("catalog.get_product", {"product_id": product_id}).status == 404
    restored = publisher.call("catalog.restore_product", product_id=product_id)["product"]
    assert restored == publisher.call("catalog.get_product", product_id=product_id)
    assert _versions(publisher.call("catalog.get_history", product_id=product_id)) == LIFE
    batch = [
        {"create": {"name": "Desk lamp", "price": 20, "quantity": 1, "sku": "D-1", "tags": ["light"]}},
        {"put": {"sku": "L-1", "price": 8.5}},
        {"delete": {"product_id": 4711}},
    ]
    results = publisher.call("catalog.change_products", operations=batch)["results"]
    assert [each["status"] for each in results] == [201, 200, 404]
    assert results[1]["product"] == restored, "it was so already"
    dearest = publisher.call("catalog.list_products", q="LAM", sort="-price", limit=1, total=True)
    (cursor,) = parse_qs(urlsplit(dearest["next"]).query)["cursor"]
    others = publisher.call("catalog.list_products", q="LAM", sort="-price", limit=1, total=True, cursor=cursor)
    assert (dearest["products"], others["products"]) == ([results[0]["product"]], [restored])
    assert (dearest["total"], others["total"], others["next"]) == (2, 2, None)
    tagged = publisher.call("catalog.list_products", tag="light", min_price=10)
    assert tagged["products"] == dearest["products"]
    publisher.close()
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.queue_declare(QUEUE, durable=True)
        assert _replay(broker_url) == f"5 events were sent to {QUEUE}.\n"
        assert _replay(broker_url) == f"5 events were sent to {QUEUE}.\n"
        taken = [channel.basic_get(QUEUE, auto_ack=True) for _ in range(10)]
    assert [properties.type for _, properties, _ in taken[:5]] == [  # type: ignore[union-attr]
        "catalog.product_changed",
        "catalog.product_changed",
        "catalog.product_removed",
        "catalog.product_restored",
        "catalog.product_changed",
    ]
    ids = [properties.message_id for _, properties, _ in taken]  # type: ignore[union-attr]
    assert (ids[:5], len(set(ids))) == (ids[5:], 5)
    assert json.loads(taken[3][2]) == restored


def _replay(broker_url: str) -> str:
    environment = {"BUS_URL": broker_url, "BUS_OPERATOR_TOKEN": OPERATOR_TOKEN}
    arguments = ["events", "replay", "catalog", "--since", "2000-01-01", "--to", QUEUE]
    run = CliRunner().invoke(bus, arguments, env=environment)
    assert run.exit_code == 0, run.stderr
    return run.stdout
