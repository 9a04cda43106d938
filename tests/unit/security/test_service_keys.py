"""Keys of a service for its own purposes: made once, the same for all, on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.security import service_key
from bus.security.service_keys import LETTERS, LetterKey

AT_ONCE = 8


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_sqlite = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/x.db" if is_sqlite else request.getfixturevalue("database_url"))
    migrate(database, None)
    yield database
    database.close()


def test_a_key_is_made_once_and_each_purpose_has_its_own(database: Database) -> None:
    with database.transaction() as transaction:
        first = service_key(transaction.connection, "mail")
        assert len(first) == 32
    with database.reading() as transaction:
        assert service_key(transaction.connection, "mail") == first
        assert service_key(transaction.connection, "other") != first
        assert service_key(transaction.connection, LETTERS) != LetterKey(database).read()


def test_transactions_at_the_same_moment_get_the_same_key(database: Database) -> None:
    def get(_: int) -> bytes:
        with database.transaction() as transaction:
            return service_key(transaction.connection, "mail")

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert len(set(threads.map(get, range(AT_ONCE)))) == 1
