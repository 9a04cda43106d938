"""Services in the test's process, on an embedded broker and SQLite."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.service.application import Application
from bus.worker.worker import Worker

# A handler that hangs must not hang its test; others end in milliseconds.
STOP_SECONDS = 10.0


@contextmanager
def running(folder: Path, *applications: Application) -> Iterator[Client]:
    """Run workers of these services until the block ends; yields a client that calls them.

    Their databases are files in `folder`, created if missing. Test a front end with this client and Flask's own test
    client: `create_app(client).test_client()`. A call that fails because the machine is too slow is repeated.
    """
    bus_url = f"memory://{uuid.uuid4().hex}"
    with ExitStack() as stack:
        for application in applications:
            stack.enter_context(_working(application, folder, bus_url))
        yield stack.enter_context(RetryingClient(bus_url, name="test"))


@contextmanager
def _working(application: Application, folder: Path, bus_url: str) -> Iterator[None]:
    database = Database(f"sqlite:///{folder}/{application.name}.db")
    try:
        migrate(database, application.migrations)
        connect = partial(Client, bus_url, name=f"{application.name}-calls")
        worker = Worker(application.service, transport_for(bus_url, application.name), database, connect=connect)
        worker.start()
        try:
            yield
        finally:
            worker.stop(STOP_SECONDS)
    finally:
        database.close()
