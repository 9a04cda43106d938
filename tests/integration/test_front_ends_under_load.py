"""Front ends that are asked too much, or too slowly: as a process of their own, and inside `bus run`."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests
from support.long_timeouts import LONG_TIMEOUT_SECONDS, use_long_timeouts
from support.serving import serving

from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.http import bridge
from bus.messaging.connect import transport_for
from bus.runtime import servers
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct, Product, ProductCreated
from catalog.handlers.service import CatalogSettings
from catalog.web import create_app

START_SECONDS = 60.0
STOP_SECONDS = 40.0
# An excess request is refused within one second; a busy machine may take longer to let us see it. Whoever is not
# refused waits for WAIT_SECONDS.
AT_ONCE_SECONDS = 10.0
WAIT_SECONDS = 30
CUT_SECONDS = 60.0
# The bounds of the front ends here, which a user's are too large to be met in a test.
IN_FLIGHT, HEADER_SECONDS, BODY_SECONDS = 1600, 3, 4.0
# Of one operation no more than three quarters may wait.
SHARE = IN_FLIGHT * 3 // 4
CROWD = SHARE + 200
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
# `bus` with these bounds, and that trusts a sign of life for longer than a crowd takes to come.
BOUNDED = f"""
from bus.client import liveness; liveness.FRESH_SECONDS = 60.0
from bus.http import bridge; bridge.BODY_SECONDS = {BODY_SECONDS}
from bus.runtime import running, servers; running.IN_FLIGHT, servers.HEADER_SECONDS = {IN_FLIGHT}, {HEADER_SECONDS}
from bus.cli import main; main()
"""
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "
POST = b"POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
LATER = b"Prefer: wait=%d\r\nConnection: close\r\n\r\n" % WAIT_SECONDS
BODY = json.dumps(LAMP).encode()


@dataclass
class FrontEnd:
    """One that runs. Its handler of `CreateProduct` waits for `go_on`."""

    port: int
    pid: int
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def threads(self) -> int:
        """Of its process."""
        return int(psutil.Process(self.pid).num_threads())

    def lives(self) -> bool:
        return requests.get(f"{self.url}/health/live", timeout=AT_ONCE_SECONDS).status_code == 200

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), AT_ONCE_SECONDS)
        with suppress(ConnectionError):  # it may be refused before all is sent
            connection.sendall(sent)
        return connection


def _working(bus_url: str, folder: Path, go_on: threading.Event) -> Iterator[None]:
    service = Service("catalog", settings=CatalogSettings)

    @service.handles(CreateProduct, threads=4)
    def create_product(command: CreateProduct, work: Work) -> ProductCreated:
        go_on.wait(START_SECONDS)
        product = Product(
            id=1,
            name=command.name,
            price=command.price,
            quantity=command.quantity,
            available=command.quantity,
            version=1,
        )
        return ProductCreated(product=product, message="Created")

    database = Database(f"sqlite:///{folder}/catalog.db")
    migrate(database, "catalog.migrations")
    worker = Worker(service, transport_for(bus_url, "worker"), database)
    worker.start()
    yield
    go_on.set()
    worker.stop(STOP_SECONDS)
    database.close()


@pytest.fixture
def process(broker_url: str, tmp_path: Path) -> Iterator[FrontEnd]:
    """`bus web catalog`."""
    (port,) = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "CATALOG_"))}
    environment |= {"LOG_LEVEL": "warning", "BUS_URL": broker_url, "CATALOG_PORT": str(port), "DATA_DIR": str(tmp_path)}
    started = subprocess.Popen([sys.executable, "-c", BOUNDED, "web", "catalog"], env=environment)
    front_end = FrontEnd(port, started.pid)
    for _ in _working(broker_url, tmp_path, front_end.go_on):
        wait_until(lambda: _is_ready(front_end), START_SECONDS, "the front end is ready")
        yield front_end
    started.send_signal(signal.SIGTERM)
    assert started.wait(STOP_SECONDS) == 0


@pytest.fixture
def embedded(memory_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    """What `bus run` does without a broker."""
    use_long_timeouts(monkeypatch)
    monkeypatch.setattr("bus.client.liveness.FRESH_SECONDS", LONG_TIMEOUT_SECONDS)
    monkeypatch.setattr(bridge, "BODY_SECONDS", BODY_SECONDS)
    monkeypatch.setattr(servers, "HEADER_SECONDS", HEADER_SECONDS)
    go_on = threading.Event()
    for _ in _working(memory_url, tmp_path, go_on):
        with Client(memory_url, max_in_flight=IN_FLIGHT) as client, serving(create_app(client)) as url:
            front_end = FrontEnd(int(url.rpartition(":")[2]), os.getpid(), go_on)
            wait_until(partial(_is_ready, front_end), START_SECONDS, "the front end is ready")
            yield front_end
            go_on.set()


@pytest.fixture(params=["process", "embedded"])
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    """Both in turn."""
    found: FrontEnd = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many connections as these tests make."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16_384)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _is_ready(front_end: FrontEnd) -> bool:
    try:
        return requests.get(f"{front_end.url}/health/ready", timeout=AT_ONCE_SECONDS).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.usefixtures("many_files")
def test_more_than_a_thousand_wait_without_a_thread_and_one_too_many_is_refused(front_end: FrontEnd) -> None:
    before = front_end.threads()
    crowd = [front_end.connect(POST % len(BODY) + LATER + BODY) for _ in range(CROWD)]
    # The handler waits: what is answered by now was refused.
    wait_until(lambda: sum(map(_has_come, crowd)) >= CROWD - SHARE, START_SECONDS, "what is too much is refused")
    refused = [_answer(each) for each in crowd if _has_come(each)]
    assert len(refused) == CROWD - SHARE
    for answer in refused:
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"too-many-in-flight"' in answer
        assert b"retry-after: " in answer.lower()
    assert front_end.lives()
    assert _is_ready(front_end), "the crowd takes the places of another operation"
    # One that does not insist on waiting is accepted instead.
    assert requests.post(f"{front_end.url}/products", json=LAMP, timeout=AT_ONCE_SECONDS).status_code == 202
    assert front_end.threads() <= before + 2  # of the test's own clients, in the embedded case
    front_end.go_on.set()
    statuses = {_answer(each).split()[1] for each in crowd if each.fileno() >= 0}
    assert statuses <= {b"201", b"202"}
    wait_until(lambda: _creates(front_end), START_SECONDS, "a product is created")


def _creates(front_end: FrontEnd) -> bool:
    answer = requests.post(f"{front_end.url}/products", json=LAMP, timeout=START_SECONDS)
    return answer.status_code == 201


@pytest.mark.usefixtures("many_files")
def test_slow_requests_are_cut_while_others_are_served(front_end: FrontEnd) -> None:
    """Headers or a body that come a byte at a time, or not at all."""
    front_end.go_on.set()
    slow = [front_end.connect(sent) for sent in (GET, POST % 10_000 + b"\r\n") for _ in range(500)]
    for connection in slow[::250]:
        wait_until(lambda each=connection: front_end.lives() and _is_cut(each), CUT_SECONDS, "it is cut")  # type: ignore[misc]
        assert _creates(front_end)
    for connection in slow:
        connection.close()


def _has_come(connection: socket.socket) -> bool:
    """Whether the other side has answered by now; the answer stays there to be read."""
    if connection.fileno() < 0:
        return True
    connection.setblocking(False)
    with suppress(BlockingIOError):
        return bool(connection.recv(1, socket.MSG_PEEK))
    return False


def _answer(connection: socket.socket) -> bytes:
    """All that comes until the connection ends."""
    connection.settimeout(START_SECONDS)
    answer = b""
    with connection:
        while more := connection.recv(65536):
            answer += more
    return answer


def _is_cut(connection: socket.socket) -> bool:
    """Send one byte more; whether the other side has ended the connection."""
    connection.setblocking(False)
    try:
        connection.send(b"x")
        while connection.recv(4096):
            continue
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.parametrize("length", [1024 * 1024, 1024**3, 10**18])
def test_a_body_that_is_declared_too_large_is_a_problem_unread(front_end: FrontEnd, length: int) -> None:
    answer = _answer(front_end.connect(POST % length + LATER))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert b'"code":"too-large"' in answer
    assert front_end.lives()
