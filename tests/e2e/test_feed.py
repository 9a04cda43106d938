"""The example `feed`, beside the services it listens to: it notes every change once and in order, whoever dies."""

import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from support.bus_run_system import get
from support.installed_project import Project, environment_without

from bus.client.client import Client
from bus.contract.operations import Operation
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres import PostgresServer
from bus.testing.waiting import wait_until
from catalog.contract import CreateProduct, GetProduct, UpdateProduct

EXAMPLE = Path(__file__).parents[2] / "examples" / "feed"
START_SECONDS = 90
STOP_SECONDS = 60
ANSWER_SECONDS = 60
WAIT_SECONDS = 60

PRODUCTS = 4
CALLERS = 3
UPDATES_BETWEEN_DEATHS = 50

Worker = subprocess.Popen[bytes]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(EXAMPLE, tmp_path_factory.mktemp("feed") / "environment")
    project.install()
    return project


class System:
    """Processes of auth, catalog and feed on one broker; `feed` is the URL of its front end."""

    def __init__(self, project: Project, broker_url: str, postgres: PostgresServer, folder: Path) -> None:
        (port,) = free_ports(1)
        self.feed = f"http://127.0.0.1:{port}"
        self._project, self._postgres, self._log = project, postgres, folder / "log"
        self.running: list[Worker] = []
        self.environment = environment_without("BUS_", "AUTH_", "CATALOG_", "FEED_") | {
            "BUS_URL": broker_url,
            "DATA_DIR": str(folder),
            "CATALOG_DATABASE_URL": postgres.fresh_database(),
            "FEED_PORT": str(port),
        }

    def fresh_feed_database(self) -> None:
        self.environment["FEED_DATABASE_URL"] = self._postgres.fresh_database()
        self.run("migrate")

    def run(self, *command: str) -> str:
        """Run a `bus` command to its end; what it printed."""
        return subprocess.run(
            [self._project.python, "-m", "bus.cli", *command],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=True,
        ).stdout

    def start(self, *command: str, **environment: str) -> Worker:
        with self._log.open("ab") as log:
            worker = subprocess.Popen(
                [self._project.python, "-m", "bus.cli", *command],
                env=self.environment | environment,
                stdout=log,
                stderr=log,
            )
        self.running.append(worker)
        return worker

    def stop(self, *workers: Worker) -> None:
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            assert worker.wait(STOP_SECONDS) == 0

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.feed}/health/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def entries(self, arguments: str = "") -> list[dict[str, Any]]:
        """All entries, page by page."""
        found: list[dict[str, Any]] = []
        path = f"/feed?limit=100{arguments}"
        while path:
            page = get(self.feed + path).json()
            found += page["entries"]
            path = page["next"]
        return found

    def versions(self, product_id: int) -> list[int]:
        return [entry["version"] for entry in self.entries(f"&product={product_id}")]


@contextmanager
def _cleaning(system: System) -> Iterator[System]:
    try:
        yield system
    finally:
        for process in system.running:
            process.kill()
            process.wait()


@pytest.fixture
def system(project: Project, broker_url: str, postgres: PostgresServer, tmp_path: Path) -> Iterator[System]:
    with _cleaning(System(project, broker_url, postgres, tmp_path)) as system:
        system.fresh_feed_database()
        system.start("web", "feed")
        yield system


def test_its_own_tests_pass_where_it_is_installed(project: Project) -> None:
    assert "5 passed" in project.run("pytest", "-q", "-p", "no:cacheprovider")
    assert "feed.list_entries " in project.run("bus.cli", "operations")
    assert "feed.events " in project.run("bus.cli", "topology")


def test_every_version_of_every_product_is_noted_once_and_in_order_whoever_dies(system: System) -> None:
    feeds = [system.start("worker", "feed") for _ in range(2)]
    catalogs = [system.start("worker", "catalog") for _ in range(2)]
    system.start("worker", "auth")
    wait_until(system.is_ready, START_SECONDS, "the feed is ready")
    with Client(system.environment["BUS_URL"]) as client, ThreadPoolExecutor(CALLERS) as callers:
        ids = [_call(client, CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=0)).product.id for _ in "1234"]
        with _updating(client, ids, callers) as updates:
            updates.await_some()
            catalogs[0].kill()
            doomed = system.start("worker", "catalog", BUS_FAILPOINT="relay.before-mark:3")
            updates.await_some()
            feeds[0].kill()  # one of the two has the events, and both die in turn
            updates.await_some()
            system.start("worker", "feed")
            catalogs[1].kill()
            wait_until(lambda: doomed.poll() is not None, WAIT_SECONDS, "the relay reaches its failpoint")
            assert doomed.returncode == -signal.SIGKILL
            system.start("worker", "catalog")
            updates.await_some()
            feeds[1].kill()
            updates.await_some()
        newest = {each: _call(client, GetProduct(product_id=each)).version for each in ids}
        assert sum(newest.values()) == PRODUCTS + updates.count()
        for each, version in newest.items():
            wait_until(lambda each=each, version=version: version in system.versions(each), WAIT_SECONDS, "the news")
            assert system.versions(each) == list(range(1, version + 1))

        noted = system.entries()
        assert system.run("events", "replay", "catalog", "--since", "1h", "--to", "feed.events").startswith(
            f"{len(noted)} events"
        )
        # What is told after the replay comes after it.
        last = _call(client, CreateProduct(name="Last", price=Decimal(1), quantity=1)).product.id
        wait_until(lambda: system.versions(last) == [1], WAIT_SECONDS, "what was told last")
        assert system.entries()[:-1] == noted


def test_a_new_feed_is_filled_by_a_replay(system: System) -> None:
    workers = [system.start("worker", "feed"), system.start("worker", "catalog")]
    wait_until(system.is_ready, START_SECONDS, "the feed is ready")
    with Client(system.environment["BUS_URL"]) as client:
        for _ in range(2):
            product = _call(client, CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=0)).product
            for quantity in range(20):
                _call(client, UpdateProduct(product_id=product.id, quantity=quantity))
    wait_until(lambda: len(system.entries()) == 42, WAIT_SECONDS, "the first feed is full")
    told = [(entry["event"], entry["body"]) for entry in system.entries()]
    system.stop(workers[0])
    system.fresh_feed_database()
    system.start("worker", "feed")
    wait_until(system.is_ready, START_SECONDS, "the new feed is ready")
    assert system.entries() == []
    arguments = ("events", "replay", "catalog", "--since", "1h", "--to", "feed.events")
    assert system.run(*arguments, "--dry-run") == "42 events would be sent to feed.events.\n"
    assert system.run(*arguments, "--rate", "100") == "42 events were sent to feed.events.\n"
    wait_until(lambda: len(system.entries()) == 42, WAIT_SECONDS, "the new feed is full")
    assert [(entry["event"], entry["body"]) for entry in system.entries()] == told


class Updates:
    """Updates of products, one after the other by each caller, until it is enough."""

    def __init__(self, client: Client, ids: list[int]) -> None:
        self._client, self._ids = client, ids
        self._progress = threading.Semaphore(0)
        self._enough = threading.Event()
        self.callers: list[Future[int]] = []

    def go_on(self) -> int:
        """Update until it is enough; gives the number of updates."""
        number = 0
        while not self._enough.is_set():
            _call(self._client, UpdateProduct(product_id=self._ids[number % PRODUCTS], quantity=number))
            self._progress.release()
            number += 1
        return number

    def await_some(self) -> None:
        """Wait until some more have been answered."""
        for _ in range(UPDATES_BETWEEN_DEATHS):
            assert self._progress.acquire(timeout=ANSWER_SECONDS)

    def stop(self) -> None:
        self._enough.set()

    def count(self) -> int:
        """How many there were."""
        return sum(caller.result(ANSWER_SECONDS) for caller in self.callers)


@contextmanager
def _updating(client: Client, ids: list[int], callers: ThreadPoolExecutor) -> Iterator[Updates]:
    updates = Updates(client, ids)
    updates.callers = [callers.submit(updates.go_on) for _ in range(CALLERS)]
    try:
        yield updates
    finally:
        updates.stop()
    updates.count()  # returns when the last has been answered


def _call(client: Client, request: Operation[Any]) -> Any:
    """The answer, however often a worker dies of it: the same id is done once."""
    message_id, answers = uuid.uuid4().hex, []

    def answered() -> bool:
        try:
            answers.append(client.call(request, timeout=5, message_id=message_id))
        except (ReplyTimeout, Unavailable):
            return False
        return True

    wait_until(answered, ANSWER_SECONDS, "an answer")
    return answers[0]
