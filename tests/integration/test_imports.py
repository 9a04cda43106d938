"""`bus catalog import` and `export`: killed and started again, no product is missing and none is there twice."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

import pytest
from sqlalchemy import func, select

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.servers.processes import Process
from bus.testing.waiting import wait_until
from catalog.tables import product

ROWS = 6_000
WAIT_SECONDS = 120.0


class Catalog:
    """A worker process of the catalog, and the command line beside it."""

    def __init__(self, broker_url: str, database: Database, database_url: str, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.environment = {**os.environ, "BUS_URL": broker_url, "CATALOG_DATABASE_URL": database_url}

    def bus(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bus.cli", "catalog", *arguments],
            env={name: value for name, value in self.environment.items() if name != "CATALOG_DATABASE_URL"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, what it printed, and its errors."""
        process = self.bus(*arguments)
        printed, errors = process.communicate(timeout=WAIT_SECONDS)
        return process.returncode, printed, errors

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content, encoding="utf-8")
        return str(self.folder / name)

    def count(self) -> tuple[int, int]:
        """The products, and how many names they have."""
        with self.database.reading() as transaction:
            statement = select(func.count(), func.count(product.c.name.distinct()))
            products, names = transaction.connection.execute(statement).one()
        return products, names


@pytest.fixture
def shop(broker_url: str, database_url: str, tmp_path: Path) -> Iterator[Catalog]:
    with _catalog(broker_url, database_url, tmp_path) as running:
        yield running


@contextmanager
def _catalog(broker_url: str, database_url: str, folder: Path) -> Iterator[Catalog]:
    database = Database(database_url)
    migrate(database, "catalog.migrations")
    running = Catalog(broker_url, database, database_url, folder)
    command = (sys.executable, "-m", "bus.cli", "worker", "catalog")
    worker = Process("import-worker", command, folder, {**running.environment, "LOG_LEVEL": "warning"})
    worker.start()
    try:
        yield running
    finally:
        worker.stop(SIGTERM)
        database.close()


def test_an_import_that_is_killed_goes_on_and_makes_no_product_twice(shop: Catalog) -> None:
    rows = "".join(f"Lamp {number},9.90,{number % 7}\n" for number in range(ROWS))
    file = shop.file("lamps.csv", f"name,price,quantity\n{rows}")
    first = shop.bus("import", file)
    wait_until(lambda: shop.count()[0] >= ROWS // 6, WAIT_SECONDS, "some products are there")
    first.kill()
    first.communicate(timeout=WAIT_SECONDS)
    before, _ = shop.count()
    assert before < ROWS
    code, printed, errors = shop.run("import", file)
    assert (code, errors, shop.count()) == (0, "", (ROWS, ROWS))
    assert "done by an earlier start of this import" in printed
    code, printed, _ = shop.run("import", file)
    assert (code, shop.count()) == (0, (ROWS, ROWS))
    assert printed == f"{file} (CSV, UTF-8): {ROWS} done by an earlier start of this import.\n"


def test_another_run_of_a_file_and_rows_that_are_refused_with_their_lines(shop: Catalog) -> None:
    file = shop.file("lamps.csv", "sku,name,price,quantity\nA,Lamp,9.90,3\nB,Desk,x,3\n,Chair,5,1\nA,Again,1,1\n")
    code, printed, errors = shop.run("import", file, "--dry-run")
    assert (code, shop.count()) == (1, (0, 0))
    assert printed.endswith(": 2 can be imported, 2 with faults.\n")
    assert errors.splitlines()[1] == "line 5: sku: line 2 has A too."
    code, printed, errors = shop.run("import", file)
    assert (code, shop.count()) == (1, (2, 2))
    assert printed.endswith(": 2 created, 2 with faults.\n")
    assert errors.splitlines() == [
        "line 3: price: 'x' is not a number such as 9.90, without a currency and thousands separators.",
        "line 5: The product 1 has the SKU A.",
    ]
    code, printed, again = shop.run("import", file)  # what was refused is said each time
    assert (code, again.splitlines()) == (1, errors.splitlines())
    assert printed.endswith(": 2 done by an earlier start of this import, 2 with faults.\n")
    code, printed, _ = shop.run("import", file, "--run", "again")
    assert (code, shop.count()) == (1, (3, 2))
    assert printed.endswith(": 1 created, 3 with faults.\n")


def test_match_sku_changes_what_differs_and_export_has_it_all(shop: Catalog) -> None:
    file = shop.file("lamps.ndjson", '{"sku":"A","name":"Lamp","price":9.9,"quantity":3,"attributes":{"w":7.5}}\n')
    assert shop.run("import", file, "--match", "sku")[1].endswith("(NDJSON, UTF-8): 1 created.\n")
    prices = shop.file("prices.csv", "sku;price\nA;8,50\nB;1,00\n")
    code, printed, errors = shop.run("import", prices, "--match", "sku", "--decimal-comma")
    assert (code, printed) == (1, f"{prices} (CSV, UTF-8): 1 changed or the same as before, 1 with faults.\n")
    assert errors == "line 3: No product has the SKU B. A new one needs all three: name, price and quantity.\n"
    code, printed, _ = shop.run("export", "--format", "ndjson")
    (exported,) = map(json.loads, printed.splitlines())
    assert (exported["price"], exported["version"], exported["attributes"]) == (8.5, 2, {"w": 7.5})
    target = shop.folder / "all.csv"
    assert shop.run("export", "--output", str(target)) == (0, "", "")
    code, printed, _ = shop.run("import", str(target), "--match", "sku")
    assert (code, printed.endswith(": 1 changed or the same as before.\n")) == (0, True)
    assert json.loads(shop.run("export", "--format", "ndjson")[1]) == exported


def test_without_a_broker_or_a_worker_it_is_said_what_to_do(tmp_path: Path, broker_url: str) -> None:
    database_url = f"sqlite:///{tmp_path}/x.db"
    idle = Catalog("memory://", Database(database_url), database_url, tmp_path)
    file = idle.file("lamps.csv", "name,price,quantity\nLamp,9.90,3\n")
    code, _, errors = idle.run("import", file)
    assert (code, "Set BUS_URL to an amqp:// URL" in errors) == (2, True)
    assert idle.run("import", file, "--dry-run")[0] == 0
    code, _, errors = idle.run("import", file, "--encoding", "klingon")
    assert (code, "There is no encoding 'klingon'" in errors) == (2, True)


# The peak of a process that reads so many lines, in KiB.
_PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "bus.cli", "catalog", "import", sys.argv[1], "--dry-run"], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        file = tmp_path / f"{rows}.csv"
        text = "".join(f"S-{number},Lamp,9.90,{number % 7},{'bright ' * 40}\n" for number in range(rows))
        file.write_text(f"sku,name,price,quantity,description\n{text}", encoding="utf-8")
        printed = subprocess.run(
            [sys.executable, "-c", _PEAK, str(file)], stdout=subprocess.PIPE, check=True, timeout=WAIT_SECONDS
        ).stdout
        return int(printed.split()[-1])

    assert peak(20_000) <= 1.1 * peak(2_000)
