"""The system under test: front ends and workers of one service as processes, on a vhost and a database of their own."""

import os
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bus.database.encryption import key_of_this_process
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres import PostgresServer, find_database
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.testing.waiting import wait_until
from faults.census import unsent_events
from faults.member import FrontEnd, Member
from faults.queues import Queues

# Two seconds on an idle machine.
START_SECONDS = 90.0
# Between two looks at the processes: a supervisor of the tests' own, and a quick one.
WATCH_SECONDS = 0.05

TESTS = Path(__file__).parents[1]
ORDERS = TESTS.parent / "examples" / "orders"
BUS = (sys.executable, "-m", "bus.cli")


def python_path(*folders: Path, before: Sequence[Path] = ()) -> str:
    """PYTHONPATH with our code and these folders; those of `before` count more."""
    return os.pathsep.join(map(str, (*before, TESTS.parent, TESTS, *folders)))


@dataclass(frozen=True)
class Servers:
    """The servers of a run: private to it, as they are stopped, killed and starved."""

    broker: Broker
    database: PostgresServer


@contextmanager
def private_servers() -> Iterator[Servers]:
    """Start both. Raises ProvisioningFailed."""
    with find_broker("process") as broker, find_database("process") as database:
        yield Servers(broker, database)


class System:
    """Processes of one service. Both the catalog and the faulty service keep products in the catalog's tables."""

    def __init__(self, servers: Servers, folder: Path, service: str = "catalog") -> None:
        self.service = service
        self.folder = folder
        self.bus_url = servers.broker.fresh_vhost()
        self.database_url = servers.database.fresh_database()
        self.queues = Queues(self.bus_url)
        self.workers: list[Member] = []
        self.fronts: list[FrontEnd] = []
        self._workers_of: Counter[str] = Counter()
        self._broker = servers.broker
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._migrate()
        self.install("faulty", "faults.faulty:application")

    def install(self, service: str, application: str) -> None:
        """Let `bus` find another service in the processes of this system."""
        metadata = self.folder / f"{service}-1.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {service}\nVersion: 1\n")
        (metadata / "entry_points.txt").write_text(f"[bus.services]\n{service} = {application}\n")

    def add_worker(self, **environment: str) -> Member:
        """Start a worker; it is kept until it is terminated."""
        return self.add_worker_of(self.service, **environment)

    def add_worker_of(self, service: str, **environment: str) -> Member:
        """Start a worker of another service, on the same database unless the environment names another."""
        settings = self._environment({f"{service.upper()}_DATABASE_URL": self.database_url, **environment})
        worker = Member(f"worker-{len(self.workers)}", self.folder, settings, *BUS, "worker", service)
        self.workers.append(worker)
        self._workers_of[service] += 1
        worker.start()
        return worker

    def add_front(self, **environment: str) -> FrontEnd:
        """Start a front end on a port of its own; it is kept until it is terminated."""
        return self.add_front_of(self.service, **environment)

    def add_front_of(self, service: str, **environment: str) -> FrontEnd:
        """Start a front end of another service."""
        [port] = free_ports(1)
        settings = self._environment({f"{service.upper()}_PORT": str(port), **environment})
        front = FrontEnd(f"front-{len(self.fronts)}", self.folder, settings, *BUS, "web", service)
        front.url = f"http://127.0.0.1:{port}"
        self.fronts.append(front)
        front.start()
        return front

    def add_run(self, port: int, **environment: str) -> FrontEnd:
        """Start `bus run` for the service: a front end and a worker, and the process that keeps them running."""
        name = self.service.upper()
        settings = {f"{name}_PORT": str(port), f"{name}_DATABASE_URL": self.database_url, "SEED": "0", **environment}
        run = FrontEnd("run", self.folder, self._environment(settings), *BUS, "run", self.service)
        run.url = f"http://127.0.0.1:{port}"
        self.fronts.append(run)
        run.start()
        self._keeper.start()
        return run

    def wait_until_ready(self) -> None:
        """Return when all workers consume and all front ends are ready."""
        self._keeper.start()
        wait_until(self._all_consume, START_SECONDS, "the workers consume")
        wait_until(lambda: all(front.is_ready() for front in self.fronts), START_SECONDS, "the front ends are ready")

    def consumers(self) -> int:
        """How many workers take pings now, and so everything else."""
        return self.queues.consumers(f"{self.service}.ping")

    def _all_consume(self) -> bool:
        return all(self.queues.consumers(f"{name}.ping") >= number for name, number in self._workers_of.items())

    @property
    def members(self) -> list[Member]:
        """All processes."""
        return [*self.fronts, *self.workers]

    @property
    def urls(self) -> list[str]:
        """Where the front ends are."""
        return [front.url for front in self.fronts]

    def unsent_events(self, older_than: float = 0.0) -> int:
        """How many events that were made some seconds ago have not been confirmed by the broker."""
        return unsent_events(self.database_url, older_than)

    def logged(self, event: str) -> int:
        """How often the workers have logged an event."""
        return sum(1 for worker in self.workers for _ in worker.events(event))

    def close(self) -> None:
        """End everything of it, and give back its vhost."""
        self._stopping.set()
        for member in self.members:
            member.end()
        self._broker.ctl("delete_vhost", urlsplit(self.bus_url).path.removeprefix("/"))

    def _keep(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            for member in self.members:
                member.look_after()

    def _migrate(self) -> None:
        database = Database(self.database_url)
        try:
            migrate(database, "catalog.migrations")
        finally:
            database.close()

    def _environment(self, own: Mapping[str, str]) -> dict[str, str]:
        prefixes = ("AUTH_", "CATALOG_", "FAULTY_", "ORDERS_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BUS_", *prefixes))}
        return {
            **inherited,
            **{f"{prefix}DATABASE_KEY": key_of_this_process() for prefix in prefixes},
            "PYTHONPATH": python_path(self.folder, ORDERS),
            "BUS_URL": self.bus_url,
            **own,
        }


@contextmanager
def made_of(servers: Servers, service: str = "catalog") -> Iterator[System]:
    """A system without processes yet; closed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="bus-faults-", ignore_cleanup_errors=True) as folder:
        system = System(servers, Path(folder), service)
        try:
            yield system
        finally:
            system.close()


@contextmanager
def running(servers: Servers, *, workers: int = 1, fronts: int = 1, **for_workers: str) -> Iterator[System]:
    """A catalog that is ready; `for_workers` is environment of the workers alone."""
    with made_of(servers) as system:
        for _ in range(workers):
            system.add_worker(**for_workers)
        for _ in range(fronts):
            system.add_front()
        system.wait_until_ready()
        yield system
