"""What all tests share. `support/` has their helpers, with a small service to test with."""

import logging
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from support.example_service import create_tables

from bus.database.engine import Database
from bus.database.migrate import migrate

pytest_plugins = ["bus.testing.fixtures"]

# Lost connections are what some tests are about; pika reports each with a page of traces.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# A shared machine is slow at times; what hypothesis finds must not depend on it, nor on yesterday's finds.
settings.register_profile("errand", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("errand")


def pytest_configure() -> None:
    """A shell switches SIGINT off in what it runs in the background, and so it would be in all that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def logs_as_they_are() -> Iterator[None]:
    """A command of `bus` that runs inside a test sets up the logs of its process, which is ours."""
    yield
    structlog.reset_defaults()
    for name in [name for name in sys.modules if name.startswith("bus.")]:
        vars(getattr(sys.modules[name], "log", structlog)).pop("bind", None)  # what a configured logger keeps


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
