"""Bulk statements with every kind of value that our tables have, on both kinds of database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    TypeDecorator,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from bus.database.bulk import find_all, insert_all, lock_all, update_all, update_each
from bus.database.engine import Database
from bus.testing.waiting import wait_until

WAIT_SECONDS = 8.0


class Packed(TypeDecorator[bytes]):
    """Bytes that a table's owner has a type of their own for."""

    impl = LargeBinary
    cache_ok = True


metadata = MetaData()
thing = Table(
    "things",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("note", Text),
    Column("body", LargeBinary),
    Column("packed", Packed),
    Column("amount", Numeric(12, 2)),
    Column("is_new", Boolean),
    Column("happened_at", DateTime(timezone=True)),
)

# What PostgreSQL's text holds: anything but NUL and lone surrogates.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
moments = st.integers(0, 2**40).map(lambda ms: datetime(2020, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms))
things = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**63), 2**63 - 1),
        "name": texts,
        "note": st.none() | texts,
        "body": st.none() | st.binary(max_size=40),
        "packed": st.none() | st.binary(max_size=40),
        "amount": st.none() | st.decimals(0, Decimal("9999999999.99"), places=2),
        "is_new": st.none() | st.booleans(),
        "happened_at": st.none() | moments,
    }
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = Database(url)
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
    yield database
    database.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(things, min_size=1, max_size=8, unique_by=lambda row: row["id"]))
def test_what_is_inserted_is_found_as_it_was(database: Database, rows: list[dict[str, Any]]) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(thing.delete())
        insert_all(transaction.connection, thing, rows)
        found = find_all(transaction.connection, thing, thing.c.id, [row["id"] for row in rows])
    by_id = {row.id: _with_zone(row._asdict()) for row in found}
    assert by_id == {row["id"]: row for row in rows}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(things, things), min_size=1, max_size=6, unique_by=lambda pair: pair[0]["id"]))
def test_each_row_gets_its_own_new_values(
    database: Database, pairs: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    after = [{**new, "id": old["id"]} for old, new in pairs]
    with database.transaction() as transaction:
        transaction.connection.execute(thing.delete())
        insert_all(transaction.connection, thing, [old for old, _ in pairs])
        update_each(transaction.connection, thing, thing.c.id, after)
        found = find_all(transaction.connection, thing, thing.c.id, [row["id"] for row in after])
    assert {row.id: _with_zone(row._asdict()) for row in found} == {row["id"]: row for row in after}


def test_locked_rows_come_in_the_order_of_their_keys_each_once(database: Database) -> None:
    with database.transaction() as transaction:
        insert_all(transaction.connection, thing, [{"id": number, "name": "x"} for number in (3, 1, 2)])
        rows = lock_all(transaction.connection, thing, thing.c.id, [3, 1, 3, 9])
    assert [row.id for row in rows] == [1, 3]


def test_rows_are_locked_in_one_order_so_that_nobody_holds_what_comes_later(database_url: str) -> None:
    """Two that want rows 1 and 2 wait for row 1, and neither has taken row 2 before: no deadlock is possible."""
    database = Database(database_url, connections=4)
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
        insert_all(transaction.connection, thing, [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}])

    def lock(wanted: list[int]) -> list[int]:
        with database.transaction() as transaction:
            return [row.id for row in lock_all(transaction.connection, thing, thing.c.id, wanted)]

    with ThreadPoolExecutor(2) as pool:
        with database.transaction() as holder:
            lock_all(holder.connection, thing, thing.c.id, [1])
            locking = [pool.submit(lock, wanted) for wanted in ([1, 2], [2, 1])]
            wait_until(lambda: _waiting(database) == 2, WAIT_SECONDS, "both wait")
            with database.transaction() as other:
                statement = select(thing.c.id).where(thing.c.id == 2).with_for_update(nowait=True)
                assert other.connection.execute(statement).scalar_one() == 2
        assert [each.result(WAIT_SECONDS) for each in locking] == [[1, 2], [1, 2]]
    database.close()


def _waiting(database: Database) -> int:
    sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.reading() as transaction:
        return int(transaction.connection.execute(text(sql)).scalar_one())


def test_a_row_whose_key_is_there_already_is_left_out(database: Database) -> None:
    with database.transaction() as transaction:
        for note in ("first", "second"):
            rows = [{"id": number, "name": "x", "note": note} for number in (1, 2 if note == "first" else 3)]
            insert_all(transaction.connection, thing, rows, unique=thing.c.id)
        update_all(transaction.connection, thing, thing.c.id, [2], {"note": "changed"})
        notes = dict(transaction.connection.execute(select(thing.c.id, thing.c.note)).all())
    assert notes == {1: "first", 2: "changed", 3: "second"}


class _clock(FunctionElement[str]):  # noqa: N801  # an SQL function
    """Something that only the database can compute."""

    type = Text()
    inherit_cache = True


@compiles(_clock)
def _as_sql(*_: object, **__: object) -> str:
    return "CAST(CURRENT_TIMESTAMP AS text)"


stamped = Table(
    "stamped",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("name", Text),
    Column("made_at", Text, default=_clock()),
    Column("kind", Text, default="plain"),
    sqlite_autoincrement=True,
)


def test_the_database_computes_a_column_that_is_not_given_and_returns_it_in_the_order_of_the_rows(
    database: Database,
) -> None:
    names = [f"name {number}" for number in range(50, 0, -1)]
    with database.transaction() as transaction:
        rows = [{"name": name} for name in names]
        made = insert_all(transaction.connection, stamped, rows, returning=(stamped.c.id, stamped.c.made_at))
        (given,) = insert_all(
            transaction.connection, stamped, [{"name": "x", "made_at": "y"}], (stamped.c.id, stamped.c.made_at)
        )
        stored = transaction.connection.execute(select(stamped).order_by(stamped.c.id)).all()
    assert [row.name for row in stored] == [*names, "x"]
    assert [tuple(row) for row in (*made, given)] == [(row.id, row.made_at) for row in stored]
    assert all(made_at.startswith("20") for _, made_at in made)
    assert given.made_at == "y"


def test_rows_are_locked_with_what_is_read_beside_them(database: Database) -> None:
    clock = _clock().label("now")
    with database.transaction() as transaction:
        insert_all(transaction.connection, stamped, [{"name": "a"}, {"name": "b"}])
        rows = lock_all(transaction.connection, stamped, stamped.c.id, [2, 1], clock)
    assert [row.name for row in rows] == ["a", "b"]
    assert all(row.now.startswith("20") for row in rows)


def test_rows_of_different_columns_are_refused(database: Database) -> None:
    with database.transaction() as transaction, pytest.raises(ValueError, match="different columns"):
        insert_all(transaction.connection, thing, [{"id": 1, "name": "x"}, {"id": 2, "name": "y", "note": "z"}])
    with database.transaction() as transaction, pytest.raises(ValueError, match="different columns"):
        update_each(transaction.connection, thing, thing.c.id, [{"id": 1, "name": "x"}, {"id": 2, "note": "z"}])


def _with_zone(row: dict[str, Any]) -> dict[str, Any]:
    """SQLite keeps no zone; ours are all UTC."""
    moment = row["happened_at"]
    return row if moment is None or moment.tzinfo else {**row, "happened_at": moment.replace(tzinfo=UTC)}
