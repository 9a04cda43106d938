"""auth behind its front end, on the embedded broker and SQLite: one system for each file."""

from collections.abc import Iterator
from pathlib import Path

import argon2
import pytest
from flask.testing import FlaskClient
from support import auth_over_http
from support.auth_over_http import register

from auth.domain import passwords
from auth.main import application
from bus.database.engine import Database
from bus.testing.services import Servers, running


@pytest.fixture(scope="module", autouse=True)
def cheap_hashes() -> Iterator[None]:
    """Hundreds of passwords are hashed here. What a hash costs is tested in `tests/unit/auth/domain`."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(passwords, "_hasher", lambda: cheap)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("auth")


@pytest.fixture(scope="module")
def http(folder: Path) -> Iterator[FlaskClient]:
    servers = Servers(f"memory://{folder.name}", lambda: f"sqlite:///{folder}/auth.db")
    with running(application, servers=servers) as client:
        yield application.web(client).test_client()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def database(folder: Path, http: FlaskClient) -> Iterator[Database]:
    database = Database(f"sqlite:///{folder}/auth.db")
    yield database
    database.close()


@pytest.fixture
def new_name() -> str:
    """A user name that no account has; the address of its account is NAME@example.org."""
    return auth_over_http.new_name()


@pytest.fixture
def name(http: FlaskClient, new_name: str) -> str:
    """The name of a new account."""
    assert register(http, new_name).status_code == 201
    return new_name
