"""Migrations of databases that hold rows, and two migrations at the same moment. On both kinds of database."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, inspect, select
from support.migrations import newest_revision

from bus.database import migrate as migrating
from bus.database.encryption import DatabaseKeys
from bus.database.engine import Database
from bus.database.migrate import NotMigrated, check_migrated, migrate
from bus.database.migrations import VERSION_TABLE

KINDS = ("sqlite", "postgresql")
# What each service's history made before the library had one of its own, as SQL with the types of either database.
TYPES = {
    "sqlite": {
        "id": "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
        "bytes": "BLOB",
        "time": "DATETIME",
        "made_at": "DATETIME DEFAULT CURRENT_TIMESTAMP NOT NULL",
        "money": "BIGINT",
        "brin": "",
    },
    "postgresql": {
        "id": "BIGSERIAL NOT NULL PRIMARY KEY",
        "bytes": "BYTEA",
        "time": "TIMESTAMP WITH TIME ZONE",
        "made_at": "TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL",
        "money": "NUMERIC(12, 2)",
        "brin": "USING brin",
    },
}
OWN_TABLE = {
    "auth": """
CREATE TABLE users (
    id {id}, username TEXT NOT NULL, username_key TEXT NOT NULL, email TEXT NOT NULL, email_key TEXT NOT NULL,
    password_hash TEXT NOT NULL, created_at {made_at}, UNIQUE (username_key), UNIQUE (email_key)
);
""",
    "catalog": """
CREATE TABLE products (
    id {id}, name TEXT NOT NULL, price {money} NOT NULL, quantity INTEGER NOT NULL, version INTEGER NOT NULL
);
""",
}
REVISIONS = {
    "0001": """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE inbox (
    caller TEXT NOT NULL, message_id TEXT NOT NULL, operation TEXT NOT NULL, digest {bytes} NOT NULL,
    status INTEGER NOT NULL, location TEXT NOT NULL, reply {bytes} NOT NULL, done_at {made_at},
    PRIMARY KEY (caller, message_id)
);
""",
    "0002": """
CREATE INDEX inbox_done_at ON inbox {brin} (done_at);
CREATE TABLE outbox (
    id {id}, event_id TEXT NOT NULL, name TEXT NOT NULL, body {bytes} NOT NULL, made_at {made_at}, sent_at {time}
);
CREATE INDEX outbox_unsent ON outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_made_at ON outbox {brin} (made_at);
CREATE TABLE dead_letter_actions (
    id {id}, kind TEXT NOT NULL, made_by TEXT NOT NULL, chosen_by TEXT NOT NULL, letters INTEGER NOT NULL,
    held_by TEXT, held_until {time}, made_at {made_at}
);
CREATE TABLE dead_letters (
    id {id}, letter_id TEXT NOT NULL, operation TEXT NOT NULL, message_id TEXT, properties {bytes} NOT NULL,
    body {bytes} NOT NULL, whole BOOLEAN NOT NULL, origin_queue TEXT NOT NULL, reason TEXT NOT NULL,
    detail TEXT NOT NULL, error_class TEXT NOT NULL, traceback TEXT NOT NULL, attempts INTEGER NOT NULL,
    first_at {time} NOT NULL, last_at {time} NOT NULL, state TEXT NOT NULL, action_id BIGINT, handled_at {time},
    replayed_as TEXT, UNIQUE (letter_id)
);
CREATE INDEX dead_letters_message_id ON dead_letters (message_id);
CREATE INDEX dead_letters_state ON dead_letters (state, operation);
CREATE TABLE sealing_keys (
    kid TEXT NOT NULL, number INTEGER NOT NULL, private_jwk TEXT NOT NULL, made_at {time} NOT NULL,
    retired_at {time}, PRIMARY KEY (kid), UNIQUE (number)
);
""",
    "0003": """
ALTER TABLE outbox ADD COLUMN traceparent TEXT;
ALTER TABLE outbox ADD COLUMN tracestate TEXT;
""",
}
NOON, LATER = "2026-11-01 12:00:00.000000", "2026-11-01 13:30:00.250000"
_USER = {"email": "A@b.org", "password_hash": "$argon2id$"}
_PRODUCT = {"name": "Lamp", "price": 990, "quantity": 3}
OWN_ROWS = {
    "auth": {"users": [{"username": n, "username_key": n, "email_key": n, **_USER} for n in ("ada", "bob")]},
    "catalog": {"products": [{**_PRODUCT, "version": version} for version in (1, 7)]},
}
_REPLY = {"digest": b"\x00", "status": 201, "location": "/1", "reply": b"{}"}
_ACTION = {"kind": "replay", "made_by": "ann@here", "chosen_by": "--all", "letters": 1, "held_until": LATER}
_LETTER = {
    **{name: name for name in ("operation", "origin_queue", "reason", "detail", "error_class", "traceback")},
    "message_id": None,
    "properties": b"{}",
    "body": b"\x00",
    "whole": True,
    "attempts": 4,
    "first_at": NOON,
    "last_at": LATER,
    "action_id": 1,
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "inbox": [{"caller": "a", "message_id": number, "operation": "o", **_REPLY} for number in "12"],
    "outbox": [
        {"event_id": "e1", "name": "a.b", "body": b'{"id":1}', "sent_at": NOON},
        {"event_id": "e2", "name": "a.b", "body": b"\xff\x00", "sent_at": None},
    ],
    "dead_letter_actions": [_ACTION],
    "dead_letters": [
        {**_LETTER, "letter_id": "1", "state": "dead", "handled_at": None, "replayed_as": None},
        {**_LETTER, "letter_id": "2", "state": "replayed", "handled_at": LATER, "replayed_as": "2-1"},
    ],
    "sealing_keys": [
        {"kid": "k1", "number": 1, "private_jwk": "{}", "made_at": NOON, "retired_at": LATER},
        {"kid": "k2", "number": 2, "private_jwk": "{}", "made_at": LATER, "retired_at": None},
    ],
}

# Prints that it is ready, and migrates when it has read a line.
MIGRATE = """
import sys
from pathlib import Path
from bus.database.encryption import DatabaseKeys
from bus.database.engine import Database
from bus.database.migrate import migrate
database = Database(sys.argv[1], keys=DatabaseKeys("CATALOG_DATABASE_KEY", file=Path(sys.argv[2])))
print("ready", flush=True)
input()
print(migrate(database, "catalog.migrations"))
"""
LIBRARY = "bus.database.migrations"
# A Fernet token begins with its version, 0x80, and a time in this century.
ENCRYPTED = "gAAAA"
PROCESSES = 4
PROCESS_SECONDS = 120.0


@pytest.fixture(params=KINDS)
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Of two empty databases, of both kinds in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/old.db", f"sqlite:///{tmp_path}/new.db"
    else:
        postgres = request.getfixturevalue("postgres")
        yield postgres.fresh_database(), postgres.fresh_database()


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("service", OWN_TABLE)
def test_a_database_whose_service_made_the_librarys_tables_keeps_every_row(
    urls: tuple[str, str], service: str, revision: str
) -> None:
    old, new = map(Database, urls)
    _make(old, service, revision)
    before = _rows(old)
    assert sum(map(len, before.values())) == {"0001": 5, "0002": 12, "0003": 12}[revision]
    with pytest.raises(NotMigrated):
        check_migrated(old, f"{service}.migrations")
    migrate(old, f"{service}.migrations")
    after = _rows(old)
    for key in after["sealing_keys"]:
        assert key["private_jwk"].startswith(ENCRYPTED)
        key["private_jwk"] = old.keys.decrypt(key["private_jwk"])
    for table in before.keys() - {"alembic_version"}:
        kept = [{name: row[name] for name in before[table][0]} for row in after[table]]
        assert kept == before[table], table
    newest = [[{"version_num": newest_revision(package)}] for package in (f"{service}.migrations", LIBRARY)]
    assert [after["alembic_version"], after[VERSION_TABLE]] == newest
    check_migrated(old, f"{service}.migrations")
    migrate(new, f"{service}.migrations")
    assert _schema(old) == _schema(new)
    after = _rows(old)
    migrate(old, f"{service}.migrations")
    assert _rows(old) == after
    old.close()
    new.close()


def test_products_of_before_begin_their_history_with_the_version_they_have(urls: tuple[str, str]) -> None:
    database = Database(urls[0])
    _make(database, "catalog", "0003")
    migrate(database, "catalog.migrations")
    rows = _rows(database)
    shared = ("name", "price", "quantity", "reserved", "sku", "version", "updated_ms")
    told = [("catalog.product_changed", f"product-{id_}-version-{version}") for id_, version in ((1, 1), (2, 7))]
    assert [(row["event"], row["event_id"]) for row in rows["product_history"]] == told
    kept = [[row["product_id"], *(row[name] for name in shared)] for row in rows["product_history"]]
    assert kept == [[row["id"], *(row[name] for name in shared)] for row in rows["products"]]
    assert rows["products"][0]["updated_ms"] > 0
    database.close()


def test_migrations_in_several_processes_at_the_same_moment_all_succeed_and_make_one_key(
    urls: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "catalog.key"
    command = [sys.executable, "-c", MIGRATE, urls[0], str(file)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=PROCESS_SECONDS)[0] for process in processes]
    assert printed == [f"{newest_revision('catalog.migrations')}\n"] * PROCESSES
    assert [path.name for path in tmp_path.glob("*.key*")] == [file.name]
    assert file.stat().st_mode & 0o777 == 0o600
    database = Database(urls[0], keys=DatabaseKeys("CATALOG_DATABASE_KEY", file=file))
    check_migrated(database, "catalog.migrations")
    database.close()


def test_a_new_database_file_is_not_opened_before_its_lock_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two first connections at once would both switch it to WAL, and one of them would fail."""
    monkeypatch.setattr(migrating, "WAIT_SECONDS", 0.1)
    file = tmp_path / "catalog.db"
    database = Database(f"sqlite:///{file}")
    with migrating._file_lock(file, time.monotonic()):
        with pytest.raises(NotMigrated, match="another migration"):
            migrate(database, "catalog.migrations")
        assert not file.exists()
    database.close()


def test_a_migration_waits_for_another_one_but_not_for_ever(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "WAIT_SECONDS", 0.3)
    newest = newest_revision("auth.migrations")
    first, second, other = Database(urls[0]), Database(urls[0]), Database(urls[1])
    with migrating._exclusive(first):
        with pytest.raises(NotMigrated, match=r"another migration of this database .* 0\.3 s\. Wait for it, then run"):
            migrate(second, "auth.migrations")
        assert migrate(other, "auth.migrations") == newest
    assert migrate(second, "auth.migrations") == newest
    for database in (first, second, other):
        database.close()


def _make(database: Database, service: str, revision: str) -> None:
    """A database of that revision of the service, as its history made it, with rows in every table."""
    scripts = [OWN_TABLE[service], *(script for name, script in REVISIONS.items() if name <= revision)]
    with database.transaction() as transaction:
        connection = transaction.connection
        for statement in "".join(scripts).format(**TYPES[database.kind]).split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{revision}')")
        present = inspect(connection).get_table_names()
        for table, rows in {**OWN_ROWS[service], **ROWS}.items():
            if table in present:
                _insert(connection, table, rows)
        if revision == "0003":
            connection.exec_driver_sql("UPDATE outbox SET traceparent = '00-1-2-01', tracestate = 'a=b' WHERE id = 1")


def _insert(connection: Any, table: str, rows: list[dict[str, Any]]) -> None:
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    for row in rows:
        marks = ", ".join(mark for _ in row)
        connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def _rows(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table."""
    found = MetaData()
    with database.transaction() as transaction:
        connection = transaction.connection
        found.reflect(connection)
        statements = {table.name: select(table).order_by(*table.primary_key) for table in found.sorted_tables}
        return {name: [row._asdict() for row in connection.execute(each)] for name, each in statements.items()}


def _schema(database: Database) -> dict[str, Any]:
    """Tables with columns, keys and indexes, as the database describes them."""
    with database.transaction() as transaction:
        view = inspect(transaction.connection)
        return {
            table: {
                "columns": [{**column, "type": str(column["type"])} for column in view.get_columns(table)],
                "key": view.get_pk_constraint(table),
                "unique": sorted(view.get_unique_constraints(table), key=str),
                "indexes": [{**each, "dialect_options": _words(each)} for each in view.get_indexes(table)],
                "autoincrement": "AUTOINCREMENT" in _sql_of(transaction.connection, table),
            }
            for table in view.get_table_names()
        }


def _words(index: Any) -> dict[str, str]:
    """Whether it is partial, and of which kind."""
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


def _sql_of(connection: Any, table: str) -> str:
    if connection.dialect.name != "sqlite":
        return ""
    return str(connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).scalar_one())
