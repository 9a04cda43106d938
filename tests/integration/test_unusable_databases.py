"""Databases that no waiting makes usable end a start with one sentence and exit code 2; and what a URL may say."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier, Literal
from sqlalchemy import text

import catalog.main
from bus.database.connecting import DatabaseUnusable
from bus.database.engine import Database
from bus.database.migrate import check_migrated, migrate
from bus.runtime.doctor.databases import database_findings

START_SECONDS = 60.0
NEEDS_OPERATOR = 2


@pytest.mark.parametrize("command", ["run", "migrate"])
def test_a_folder_that_cannot_be_written_ends_the_start_with_one_sentence(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").touch()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "CATALOG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "bus.cli", command, "catalog"],
        env={**environment, "DATA_DIR": str(tmp_path / "file")},
        check=False,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout) == (NEEDS_OPERATOR, "")
    assert done.stderr.startswith(f"bus: the folder {tmp_path / 'file'} cannot be made: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_text_is_refused_in_one_sentence(database_url: str, encoding: str) -> None:
    name = f"{urlsplit(database_url).path[1:]}_{encoding.lower()}"
    plain = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, autocommit=True) as connection:
        create = SQL("CREATE DATABASE {} ENCODING {} LOCALE 'C' TEMPLATE template0")
        connection.execute(create.format(Identifier(name), Literal(encoding)))
    url = urlunsplit(urlsplit(database_url)._replace(path=f"/{name}"))
    for start in (migrate, check_migrated):
        database = Database(url)
        with pytest.raises(DatabaseUnusable, match=f"^the encoding of the database {name} is {encoding}, which cannot"):
            start(database, "catalog.migrations")
        database.close()
    [finding] = database_findings(catalog.main.application, url)
    assert finding.state == "wrong"
    assert finding.detail.startswith(f"the encoding of the database {name} is {encoding}")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.mark.parametrize(("given", "is_prepared"), [("?prepare_threshold=0", False), ("?prepare_threshold=1", True)])
def test_the_url_decides_whether_statements_are_prepared(database_url: str, given: str, is_prepared: bool) -> None:
    """Behind a pooler in transaction mode, a prepared statement belongs to a connection that is another one next."""
    database = Database(f"{database_url}{given}")
    migrate(database, "catalog.migrations")
    with database.transaction() as transaction:
        for _ in range(3):
            transaction.connection.execute(text("SELECT 1"))
        prepared = transaction.connection.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one()
    database.close()
    assert (prepared > 0) is is_prepared


def test_a_wrong_threshold_is_refused_in_one_sentence(database_url: str) -> None:
    database = Database(f"{database_url}?prepare_threshold=never")
    with pytest.raises(DatabaseUnusable, match="must be a number, not 'never'"):
        migrate(database, "catalog.migrations")
