"""The catalog's database, of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.database.engine import Database
from bus.testing.databases import migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def either_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated database of the catalog: the test runs on both kinds."""
    url = f"sqlite:///{tmp_path}/x.db" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = migrated(url, "catalog.migrations")
    yield database
    database.close()
