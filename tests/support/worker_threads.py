"""Workers in threads of this process, on a real broker, for tests that publish to their queues."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sqlalchemy import func, select

from auth.handlers import auth as auth_service
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.messaging.topology import Limits
from bus.service.service import Service
from bus.testing.databases import migrated
from bus.worker.worker import Worker
from catalog.handlers import catalog as catalog_service
from catalog.tables import product
from support.dead_letters import DeadLetterReader
from support.example_service import create_tables, make_service
from support.plain_publisher import PlainPublisher

START_SECONDS = 60.0
# For what happens apart from the reply, such as a dead letter.
WAIT_SECONDS = 60.0
OPERATOR_TOKEN = "the operator token of this installation"


class System:
    """Workers in threads of this process, connected to the broker at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.databases: dict[str, Database] = {}
        self.letters: dict[str, DeadLetterReader] = {}
        self._workers: list[Worker] = []

    def start(self, service: Service, database: Database) -> None:
        """Start a worker; returns when it is connected."""
        transport = transport_for(self.url, service.name)
        worker = Worker(service, transport, database, Limits(retry_seconds=(1,)), operator_token=OPERATOR_TOKEN)
        self.databases[service.name] = database
        self.letters[service.name] = DeadLetterReader(database)
        self._workers.append(worker)
        worker.start()
        assert transport.wait_until_ready(START_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.stop(WAIT_SECONDS)
        for database in self.databases.values():
            database.close()

    def products(self) -> int:
        """The number of products in the catalog."""
        with self.databases["catalog"].reading() as transaction:
            return int(transaction.connection.execute(select(func.count()).select_from(product)).scalar_one())


@contextmanager
def all_services(url: str, folder: Path) -> Iterator[System]:
    """The catalog, auth and the example service, each with its own SQLite database."""
    with System(url) as system:
        for service, history in ((catalog_service, "catalog"), (auth_service, "auth"), (make_service(), "catalog")):
            database = migrated(f"sqlite:///{folder}/{service.name}.db", f"{history}.migrations")
            if service.name == "example":
                create_tables(database)
            system.start(service, database)
        yield system


def can_create_product(publisher: PlainPublisher) -> bool:
    """Whether the catalog still creates a product."""
    lamp = {"name": "after", "price": 9.9, "quantity": 3}
    return publisher.ask("catalog.create_product", lamp).status == 201
