"""Fixtures for all tests. `support/` has the helpers, with a small example service."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings
from support.example_service import create_tables

from auth.handlers import auth as auth_service
from bus.database.encryption import key_of_this_process
from bus.database.engine import Database
from bus.testing.databases import migrated

pytest_plugins = ["bus.testing.fixtures"]

# Some tests are about lost connections; pika logs a page of traces for each.
logging.getLogger("pika").setLevel(logging.CRITICAL)

# A shared machine is slow at times; what hypothesis finds must depend neither on that nor on earlier runs.
settings.register_profile("errand", deadline=None, derandomize=True, database=None, max_examples=100)
settings.load_profile("errand")


def pytest_configure() -> None:
    """Restore SIGINT: a shell ignores it for background commands, and the processes that tests start inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def reset_logs() -> Iterator[None]:
    """Undo the configuration of logs after each test: a `bus` command run in the test's process changes it."""
    yield
    structlog.reset_defaults()
    for name in [name for name in sys.modules if name.startswith("bus.")]:
        vars(getattr(sys.modules[name], "log", structlog)).pop("bind", None)  # a configured logger caches it


@pytest.fixture(autouse=True, scope="session")
def share_database_keys() -> None:
    """Databases that a test migrates are those of the commands that it runs, here and in other processes."""
    os.environ |= dict.fromkeys(("AUTH_DATABASE_KEY", "CATALOG_DATABASE_KEY"), key_of_this_process())


@pytest.fixture(autouse=True, scope="session")
def write_mails_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Not into `data`, where those of a system that runs from this checkout are."""
    auth_service.data_dir = tmp_path_factory.mktemp("data")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated SQLite database with the tables of the catalog, the library and the example service."""
    database = migrated(f"sqlite:///{tmp_path}/test.db", "catalog.migrations")
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def memory_url() -> str:
    """An embedded broker for this test alone."""
    return f"memory://{uuid.uuid4().hex}"
