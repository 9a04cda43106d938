"""Imports: a CSV file of products, and how fast `bus catalog import` and one worker process bring it in."""

import time
from pathlib import Path
from signal import SIGTERM

from bench.contender import START_SECONDS, python
from bench.errand import QUIET
from bench.figures import Import
from bench.servers import Servers
from bus import Client, Unavailable
from bus.testing.waiting import wait_until
from catalog.contract import ListProducts

PRODUCTS = 20_000
IMPORT_SECONDS = 300.0


def import_file(servers: Servers, folder: Path, round_number: int) -> Import:
    """Measure once, with a virtual host and a database of its own."""
    url = servers.broker.fresh_vhost()
    environment = {"BUS_URL": url, "CATALOG_DATABASE_URL": servers.database.fresh_database(), **QUIET}
    folder.mkdir()
    file = folder / "products.csv"
    file.write_text(_content(), encoding="utf-8")
    python("import-migrate", folder, environment, "bus.cli", "migrate", "catalog").finish(START_SECONDS)
    worker = python("import-worker", folder, environment, "bus.cli", "worker", "catalog")
    worker.start()
    try:
        with Client(url, name="bench-import") as client:
            wait_until(lambda: _answers(client), START_SECONDS, "the worker answers")
            command = python("import", folder, environment, "bus.cli", "catalog", "import", str(file))
            started = time.monotonic()
            command.finish(IMPORT_SECONDS)
            return Import(round_number, PRODUCTS / (time.monotonic() - started))
    finally:
        worker.stop(SIGTERM)


def _content() -> str:
    rows = (
        f'S-{number},Lamp {number},{number % 1000}.90,{number % 50},"light,sale",Bright and small,"{{""watts"":7.5}}"\n'
        for number in range(PRODUCTS)
    )
    return "sku,name,price,quantity,tags,description,attributes\n" + "".join(rows)


def _answers(client: Client) -> bool:
    try:
        client.call(ListProducts(limit=1))
    except Unavailable:
        return False
    return True
