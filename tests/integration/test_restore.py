"""The drill of docs/databases.md: a database is lost and restored, while a command waits in its queue."""

import re
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select, text
from support.plain_publisher import Answer, PlainPublisher
from support.worker_threads import System

from bus.database.engine import Database
from bus.database.migrate import check_migrated, migrate
from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.postgres_cluster import find_programs
from bus.testing.waiting import wait_until
from catalog.handlers import catalog
from catalog.tables import product

DOCUMENT = Path(__file__).parents[2] / "docs" / "databases.md"
WAIT_SECONDS = 60.0


class Site(NamedTuple):
    """A kind of database: where it is, and how its tools back it up and restore it to another place."""

    url: str
    restored_url: str
    back_up: Callable[[], None]
    restore: Callable[[], None]


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "sqlite":
        yield _sqlite(tmp_path)
    else:
        with find_database("process") as server:  # its programs are those of its release
            yield _postgresql(server, tmp_path)


def _sqlite(folder: Path) -> Site:
    original, backup, restored = (folder / f"{name}.db" for name in ("original", "backup", "restored"))

    def back_up() -> None:  # as `.backup` of the program sqlite3
        with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(backup)) as target:
            source.backup(target)

    return Site(f"sqlite:///{original}", f"sqlite:///{restored}", back_up, lambda: _move(backup, restored))


def _postgresql(server: PostgresServer, folder: Path) -> Site:
    found, file = find_programs(), folder / "backup"
    assert found
    programs = (found / "postgres").resolve().parent  # a link may lead to the one program only
    original, restored = server.fresh_database(), server.fresh_database()

    def run(program: str, *arguments: str) -> None:
        subprocess.run([programs / program, *arguments], check=True, timeout=WAIT_SECONDS)

    return Site(
        original,
        restored,
        lambda: run("pg_dump", "--format=custom", f"--file={file}", _plain(original)),
        lambda: run("pg_restore", f"--dbname={_plain(restored)}", "--exit-on-error", str(file)),
    )


def _move(backup: Path, place: Path) -> None:
    backup.rename(place)


def _plain(url: str) -> str:
    return url.replace("+psycopg", "")


def _move_ids_on(database: Database) -> None:
    """By the statement of the document."""
    statements = re.findall(r"^ *```sql\n *-- (PostgreSQL|SQLite)\n *(.*?);\n *```", DOCUMENT.read_text(), re.M | re.S)
    assert len(statements) == 2
    statement = dict(statements)["SQLite" if database.kind == "sqlite" else "PostgreSQL"]
    with database.transaction() as transaction:
        transaction.connection.execute(text(statement.replace("::", r"\:\:")))


def _create(publisher: PlainPublisher, name: str) -> Answer:
    body = {"name": name, "price": 9.9, "quantity": 3}
    return publisher.ask("catalog.create_product", body, message_id=name.replace(" ", "-"))


def _names(database: Database) -> Counter[str]:
    with database.reading() as transaction:
        return Counter(transaction.connection.execute(select(product.c.name)).scalars())


def test_after_a_restore_nothing_is_lost_or_done_twice(broker_url: str, site: Site) -> None:
    with closing(PlainPublisher(broker_url)) as publisher:
        with System(broker_url) as system:
            database = Database(site.url)
            migrate(database, "catalog.migrations")
            system.start(catalog, database)
            before = _create(publisher, "before the backup")
            site.back_up()
            lost = _create(publisher, "after the backup")
            assert (before.status, lost.status) == (201, 201)
        # The worker is stopped, and the database is lost. The broker has gone on.
        body = {"name": "while it was away", "price": 9.9, "quantity": 3}
        publisher.send("catalog.create_product", body, message_id="order-3", reply_to=publisher.reply_queue)
        site.restore()
        with System(broker_url) as system:
            database = Database(site.restored_url)
            check_migrated(database, "catalog.migrations")
            _move_ids_on(database)
            system.start(catalog, database)
            waited = publisher.answer()
            assert waited.status == 201
            assert _create(publisher, "before the backup").body == before.body
            again = _create(publisher, "after the backup")
            assert again.status == 201
            assert _create(publisher, "after the backup").body == again.body
            # An id that was given out stays that of the product that was lost.
            ids = {answer.json["product"]["id"] for answer in (before, lost, waited, again)}
            assert len(ids) == 4
            assert _names(database) == Counter(["before the backup", "after the backup", "while it was away"])
            wait_until(lambda: not _unsent(database), WAIT_SECONDS, "all events are confirmed")


def _unsent(database: Database) -> int:
    with database.reading() as transaction:
        unsent = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        return int(transaction.connection.exec_driver_sql(unsent).scalar_one())
