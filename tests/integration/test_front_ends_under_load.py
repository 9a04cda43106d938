"""Front ends that are asked too much, or too slowly: as processes on granian, and embedded on waitress."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests
from support.long_timeouts import LONG_TIMEOUT_SECONDS, use_long_timeouts

from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.http.request_body import MAX_BODIES
from bus.messaging.connect import transport_for
from bus.runtime import servers, wsgi
from bus.runtime.servers import EmbeddedServer
from bus.runtime.silent_connections import CHECK_SECONDS, SILENT_SECONDS
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker
from catalog.contract import CreateProduct, Product, ProductCreated
from catalog.web import create_app

START_SECONDS = 60.0
STOP_SECONDS = 40.0
# An excess request is refused within one second; a busy machine may take longer to let us see it. Whoever is not
# refused waits for WAIT_SECONDS.
AT_ONCE_SECONDS = 10.0
WAIT_SECONDS = 30
CUT_SECONDS = 60.0
CROWD = 200
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
PATIENT = {"Prefer": f"wait={WAIT_SECONDS}"}
# `bus` that trusts a sign of life for longer than a crowd takes to come: it is not about whether a worker answers.
TRUSTING = "from bus.client import liveness; liveness.FRESH_SECONDS = 30.0; from bus.cli import main; main()"
GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: "
POST = b"POST /products HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass
class FrontEnd:
    """One that runs. Its handler of `CreateProduct` waits for `go_on`; `in_flight` is its bound."""

    port: int
    pid: int
    in_flight: int
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def threads(self) -> int:
        """Of the process and those it started."""
        process, threads = psutil.Process(self.pid), 0
        for each in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):  # it has ended since: of ours are brokers, which run others
                threads += each.num_threads()
        return threads

    def lives(self) -> bool:
        return requests.get(f"{self.url}/health/live", timeout=AT_ONCE_SECONDS).status_code == 200

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), AT_ONCE_SECONDS)
        with suppress(ConnectionError):  # it may be refused before all is sent
            connection.sendall(sent)
        return connection


def _working(bus_url: str, folder: Path, go_on: threading.Event) -> Iterator[None]:
    service = Service("catalog", threads=4)

    @service.handles(CreateProduct)
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
def granian(broker_url: str, tmp_path: Path) -> Iterator[FrontEnd]:
    """`bus web catalog`."""
    (port,) = free_ports(1)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "CATALOG_"))}
    environment |= {"BUS_URL": broker_url, "CATALOG_PORT": str(port), "DATA_DIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", TRUSTING, "web", "catalog"], env=environment)
    front_end = FrontEnd(port, process.pid, wsgi.IN_FLIGHT)
    for _ in _working(broker_url, tmp_path, front_end.go_on):
        wait_until(lambda: _is_ready(front_end), START_SECONDS, "the front end is ready")
        yield front_end
    process.send_signal(signal.SIGTERM)
    process.wait(STOP_SECONDS)


@pytest.fixture
def waitress(memory_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FrontEnd]:
    """What `bus run` does without a broker."""
    use_long_timeouts(monkeypatch)
    monkeypatch.setattr("bus.client.liveness.FRESH_SECONDS", LONG_TIMEOUT_SECONDS)
    (port,) = free_ports(1)
    front_end = FrontEnd(port, os.getpid(), servers.EMBEDDED_IN_FLIGHT)
    for _ in _working(memory_url, tmp_path, front_end.go_on):
        with Client(memory_url, max_in_flight=servers.EMBEDDED_IN_FLIGHT) as client:
            server = EmbeddedServer("catalog", create_app(client), "127.0.0.1", port)
            wait_until(lambda: _is_ready(front_end), START_SECONDS, "the front end is ready")
            yield front_end
            front_end.go_on.set()
            server.close()


@pytest.fixture(params=["granian", "waitress"])
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    """Both servers in turn."""
    found: FrontEnd = request.getfixturevalue(request.param)
    return found


def _is_ready(front_end: FrontEnd) -> bool:
    try:
        return requests.get(f"{front_end.url}/health/ready", timeout=AT_ONCE_SECONDS).status_code == 200
    except requests.RequestException:
        return False


def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(front_end: FrontEnd) -> None:
    gate, answers = threading.Barrier(CROWD), list[tuple[requests.Response, float]]()
    before = front_end.threads()

    def create(_: int) -> None:
        gate.wait(START_SECONDS)
        started = time.monotonic()
        answer = requests.post(f"{front_end.url}/products", json=LAMP, headers=PATIENT, timeout=2 * WAIT_SECONDS)
        answers.append((answer, time.monotonic() - started))

    with ThreadPoolExecutor(CROWD) as pool:
        crowd = [pool.submit(create, number) for number in range(CROWD)]
        # The handler waits until then: what is answered by now was refused.
        wait_until(lambda: len(answers) >= CROWD - front_end.in_flight, START_SECONDS, "what is too much is refused")
        refused = list(answers)
        front_end.go_on.set()
        for each in crowd:
            each.result()
    for answer, _ in refused:
        assert answer.status_code == 503
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "too-many-in-flight"
        assert int(answer.headers["Retry-After"]) >= 1
    assert max(seconds for _, seconds in refused) < AT_ONCE_SECONDS
    assert {answer.status_code for answer, _ in answers} - {202} == {201, 503}
    # Of waitress, the test's own clients may have left a thread or two.
    assert front_end.threads() <= before + servers.THREADS
    wait_until(lambda: _creates(front_end), START_SECONDS, "a product is created")


def _creates(front_end: FrontEnd) -> bool:
    answer = requests.post(f"{front_end.url}/products", json=LAMP, timeout=START_SECONDS)
    return answer.status_code == 201


def test_headers_that_come_a_byte_at_a_time_are_cut_while_others_are_served(front_end: FrontEnd) -> None:
    connection = front_end.connect(GET)
    started = time.monotonic()
    wait_until(lambda: front_end.lives() and _is_cut(connection), CUT_SECONDS, "the connection is cut")
    assert time.monotonic() - started > 5


def test_waitress_cuts_bodies_that_come_a_byte_at_a_time_while_others_are_served(waitress: FrontEnd) -> None:
    started = time.monotonic()
    connections = [waitress.connect(POST % 10_000) for _ in range(100)]
    for connection in connections:
        wait_until(lambda each=connection: waitress.lives() and _is_cut(each), CUT_SECONDS, "it is cut")  # type: ignore[misc]
    assert servers.ARRIVAL_SECONDS < time.monotonic() - started < CUT_SECONDS


def test_on_granian_bodies_that_never_come_hold_some_threads_and_no_more_until_they_are_cut(granian: FrontEnd) -> None:
    granian.go_on.set()
    connections = [granian.connect(POST % 10_000) for _ in range(150)]
    wait_until(
        lambda: sum(map(_is_told_503, connections)) >= 150 - MAX_BODIES, START_SECONDS, "no more bodies are read"
    )
    assert _is_refused_for_bodies(granian)
    for _ in range(5):
        assert granian.lives()
        wait_until(lambda: _is_ready(granian), AT_ONCE_SECONDS, "it is ready")
    refused = [connection for connection in connections if _is_told_503(connection)]
    assert len(refused) == 150 - MAX_BODIES
    held = [connection for connection in connections if connection not in refused]
    # Some send a byte now and then, the others nothing; no longer than anybody's answer takes.
    wait_until(lambda: all(map(_is_cut, held[::2])), SILENT_SECONDS + CUT_SECONDS, "the connections are cut")
    wait_until(lambda: all(map(_is_cut, held)), CHECK_SECONDS + AT_ONCE_SECONDS, "so are those that sent nothing")
    wait_until(lambda: _creates(granian), START_SECONDS, "a product is created once they are gone")


def _is_told_503(connection: socket.socket) -> bool:
    """Whether that has come by now; it stays there to be read."""
    connection.setblocking(False)
    with suppress(BlockingIOError):
        return b"503" in connection.recv(4096, socket.MSG_PEEK)
    return False


def _is_refused_for_bodies(front_end: FrontEnd) -> bool:
    answer = requests.post(f"{front_end.url}/products", json=LAMP, timeout=START_SECONDS)
    return answer.status_code == 503 and answer.json()["code"] == "too-many-in-flight"


def _answer(connection: socket.socket) -> bytes:
    """A problem document with its headers; what came, should the connection end before."""
    answer = b""
    while not answer.endswith(b"}") and (more := connection.recv(65536)):
        answer += more
    return answer


def _is_cut(connection: socket.socket) -> bool:
    """Send one byte more; whether the other side has ended the connection."""
    connection.setblocking(False)
    try:
        connection.send(b"x")
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("length", [1024 * 1024, 1024**3, 10**18])
def test_a_body_that_is_declared_too_large_is_a_problem_unread(front_end: FrontEnd, length: int) -> None:
    with front_end.connect(POST % length) as connection:
        answer = _answer(connection)
    assert b" 413 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer
    assert b'"code":"too-large"' in answer
    assert front_end.lives()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"400", b"bad-request"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000 + b"\r\n\r\n", b"431", b"request-header-fields-too-large"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501", b"not-implemented"),
    ],
    ids=["no header", "large headers", "transfer encoding"],
)
def test_what_waitress_refuses_is_a_problem_too(waitress: FrontEnd, sent: bytes, status: bytes, code: bytes) -> None:
    with waitress.connect(sent) as connection:
        answer = _answer(connection)
    assert status in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer
    assert b'"code":"%s"' % code in answer
