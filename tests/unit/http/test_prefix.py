"""The prefix that a proxy takes away: paths in answers and links of pages lead back through the proxy."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask.testing import FlaskClient

from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.worker.worker import Worker
from catalog import web
from catalog.handlers import catalog

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
BEHIND = {"SCRIPT_NAME": "/shop"}


@pytest.fixture
def http(memory_url: str, tmp_path: Path) -> Iterator[FlaskClient]:
    database = Database(f"sqlite:///{tmp_path}/catalog.db")
    migrate(database, "catalog.migrations")
    worker = Worker(catalog, transport_for(memory_url, "worker"), database)
    worker.start()
    with Client(memory_url) as client:
        yield web.create_app(client).test_client()
    worker.stop(10)
    database.close()


def test_paths_in_answers_have_the_prefix(http: FlaskClient) -> None:
    created = [http.post("/products", json=LAMP, environ_overrides=BEHIND) for _ in range(2)]
    assert [answer.headers["Location"] for answer in created] == ["/shop/products/1", "/shop/products/2"]
    page = http.get("/products?limit=1", environ_overrides=BEHIND)
    assert page.json["next"].startswith("/shop/products?")
    assert page.headers["Link"] == f'<{page.json["next"]}>; rel="next"'
    plain = http.get("/products?limit=1")
    assert page.data.replace(b'"/shop/', b'"/') == plain.data
    assert page.headers["ETag"] != plain.headers["ETag"]
    again = http.get(page.json["next"].removeprefix("/shop"), environ_overrides=BEHIND)
    assert [each["id"] for each in again.json["products"]] == [2]
    accepted = http.post("/products", json=LAMP, headers={"Prefer": "respond-async"}, environ_overrides=BEHIND)
    assert accepted.json["operation"] == accepted.headers["Location"]
    assert accepted.headers["Location"].startswith("/shop/operations/")


def test_links_of_pages_and_documents_are_relative(http: FlaskClient) -> None:
    for page in ("/", "/docs", "/messages"):
        assert 'href="/' not in http.get(page).text
        assert 'src="/' not in http.get(page).text
    server = http.get("/openapi.json").json["servers"][0]["url"]
    assert urljoin("https://x.example/shop/openapi.json", server) == "https://x.example/shop/"
