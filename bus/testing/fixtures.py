"""Fixtures: `pytest_plugins = ["bus.testing.fixtures"]` gives a test module a real broker and a real database.

A server that is not available fails the tests that need it, in CI and everywhere else: a test run that quietly
leaves out its real servers proves nothing.
"""

from collections.abc import Iterator

import pytest

from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.testing.services import Servers


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Broker]:
    """One broker for the whole run. A test that kills or stops a broker calls `find_broker` for its own."""
    try:
        broker = find_broker()
    except ProvisioningFailed as missing:
        pytest.fail(str(missing), pytrace=False)
    with broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One database server for the whole run."""
    try:
        database = find_database()
    except ProvisioningFailed as missing:
        pytest.fail(str(missing), pytrace=False)
    with database:
        database.do_less()
        yield database


@pytest.fixture
def broker_url(rabbitmq: Broker) -> Iterator[str]:
    """The URL of an empty vhost, for this test alone; for a given broker, its own URL."""
    url = rabbitmq.fresh_vhost()
    yield url
    rabbitmq.return_vhost(url)


@pytest.fixture
def database_url(postgres: PostgresServer) -> str:
    """The URL of an empty database, for this test alone."""
    return postgres.fresh_database()


@pytest.fixture
def servers(broker_url: str, postgres: PostgresServer) -> Servers:
    """For `running`: an empty vhost, and a new database for each service."""
    return Servers(broker_url, postgres.fresh_database)


@pytest.fixture(params=["embedded", "servers"])
def backend(request: pytest.FixtureRequest) -> Servers | None:
    """For `running`: its test runs twice, on the embedded broker and SQLite, and on RabbitMQ and PostgreSQL."""
    return request.getfixturevalue("servers") if request.param == "servers" else None
