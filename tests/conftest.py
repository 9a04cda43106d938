"""What all tests share. `example.py` beside this file is a small service for them."""

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from example import create_tables
from hypothesis import settings

from bus.database import Database
from bus.migrating import migrate

pytest_plugins = ["bus.testing.fixtures"]

# Lost connections are what some tests are about; pika reports each with a page of traces.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# A shared machine is slow at times; what hypothesis finds must not depend on it, nor on yesterday's finds.
settings.register_profile("errand", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("errand")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database with the tables of the catalog, of the example, and the inbox."""
    database = Database(f"sqlite:///{tmp_path}/test.db")
    migrate(database, "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def memory_url() -> str:
    """An embedded broker for this test alone."""
    return f"memory://{uuid.uuid4().hex}"
