"""The servers of a run: a broker and a database, private to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.rabbitmq import Broker, find_broker


@dataclass(frozen=True)
class Servers:
    """What all contenders share."""

    broker: Broker
    database: PostgresServer

    @property
    def versions(self) -> str:
        """What they say they are."""
        return f"RabbitMQ {self.broker.version}, PostgreSQL {self.database.version}"


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both as processes of ours, since their CPU time is measured. Raises ProvisioningFailed."""
    with find_broker("process") as broker, find_database("process") as database:
        yield Servers(broker, database)
