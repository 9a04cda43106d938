"""Databases: what both kinds promise alike, on SQLite here and on PostgreSQL in the integration tests."""

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from support.example_service import word, words_in

from bus.database.bulk import find_all, insert_all
from bus.database.engine import Database
from bus.database.trouble import DatabaseUnavailable
from catalog.tables import product

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_many_rows_get_their_ids_in_the_order_given(database: Database) -> None:
    rows = [{"word": f"{number:03}"} for number in range(300)]
    with database.transaction() as transaction:
        ids = insert_all(transaction.connection, word, rows, returning=word.c.id)
        by_id = {row.id: row.word for row in transaction.connection.execute(select(word))}
    assert [by_id[each] for each in ids] == [row["word"] for row in rows]
    assert list(ids) == sorted(ids)


def test_rows_may_be_inserted_without_asking_for_ids(database: Database) -> None:
    with database.transaction() as transaction:
        assert list(insert_all(transaction.connection, word, [{"word": "a"}, {"word": "b"}])) == []
    assert words_in(database) == ["a", "b"]


def test_rows_are_found_by_any_of_their_keys(database: Database) -> None:
    with database.transaction() as transaction:
        ids = insert_all(transaction.connection, word, [{"word": each} for each in "abc"], returning=word.c.id)
        found = find_all(transaction.connection, word, word.c.id, [ids[2], ids[0], 999, ids[0]])
    assert sorted(row.word for row in found) == ["a", "c"]


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.decimals(0, Decimal("9999999999.99"), places=2), min_size=1, max_size=5))
def test_amounts_come_back_to_the_cent(database: Database, prices: list[Decimal]) -> None:
    rows = [{"name": "x", "price": price, "quantity": 1, "version": 1} for price in prices]
    with database.transaction() as transaction:
        transaction.connection.execute(delete(product))
        insert_all(transaction.connection, product, rows, returning=product.c.id)
        stored = list(transaction.connection.execute(select(product.c.price).order_by(product.c.id)).scalars())
    assert [str(price) for price in stored] == [f"{price:.2f}" for price in prices]


def test_a_block_that_ends_well_is_committed_and_another_is_not(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(insert(word).values(word="kept"))
    with pytest.raises(RuntimeError):
        _write_and_fail(database)
    assert words_in(database) == ["kept"]


def test_no_connection_is_taken_before_it_is_asked_for(database: Database) -> None:
    with database.transaction() as transaction:
        assert transaction.opened is None
    with Database(NOWHERE).transaction() as transaction:
        assert transaction.opened is None


def test_a_broken_rule_of_the_database_is_the_handlers_fault_not_the_databases_absence(database: Database) -> None:
    with pytest.raises(IntegrityError), database.transaction() as transaction:
        transaction.connection.execute(insert(word).values(word=None))


def test_writers_that_read_first_wait_for_each_other(database: Database) -> None:
    """A read lock that is to become a write lock fails at once when another has written."""
    gate = threading.Barrier(10)

    def count_and_add(_: int) -> int:
        gate.wait(30)
        with database.transaction() as transaction:
            seen: int = transaction.connection.execute(select(func.count()).select_from(word)).scalar_one()
            transaction.connection.execute(insert(word).values(word="x"))
        return seen

    with ThreadPoolExecutor(10) as pool:
        assert sorted(pool.map(count_and_add, range(10))) == list(range(10))


def test_a_writer_does_not_hinder_readers(database: Database) -> None:
    with database.transaction() as writing:
        writing.connection.execute(insert(word).values(word="not yet"))
        assert words_in(database) == []
    assert words_in(database) == ["not yet"]


def test_foreign_keys_are_held_and_commits_reach_the_disk(database: Database) -> None:
    with database.reading() as transaction:
        pragmas = [
            transaction.connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("foreign_keys", "journal_mode", "synchronous")
        ]
    assert pragmas == [1, "wal", 2]


def test_a_database_that_cannot_be_reached_is_away() -> None:
    away = Database(NOWHERE)
    assert not away.answers()
    for open_ in (away.transaction, away.reading):
        with pytest.raises(DatabaseUnavailable), open_() as transaction:
            transaction.connection.execute(select(1))


def test_a_file_that_cannot_be_opened_is_away(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert not Database(f"sqlite:///{tmp_path}/folder").answers()


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    assert Database(f"sqlite:///{tmp_path}/a/b/new.db").answers()


def test_each_kind_is_known_by_its_url(database: Database) -> None:
    assert (database.kind, Database(NOWHERE).kind) == ("sqlite", "postgresql")
    with pytest.raises(ValueError, match="no support for mysql"):
        Database("mysql://localhost/x")


def _write_and_fail(database: Database) -> None:
    with database.transaction() as transaction:
        transaction.connection.execute(insert(word).values(word="lost"))
        raise RuntimeError


def test_an_error_names_no_parameters(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/test.db")
    with pytest.raises(DBAPIError) as error, database.reading() as transaction:
        transaction.connection.execute(text("SELECT * FROM nothing WHERE word = :word"), {"word": "hunter22"})
    assert "nothing" in str(error.value)
    assert "hunter22" not in str(error.value)
    database.close()
