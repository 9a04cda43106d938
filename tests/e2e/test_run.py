"""`bus run`: the whole system with one command."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pika
import psutil
import pytest
import requests
from support.bus_run_system import START_SECONDS, STOP_SECONDS, Start, System, get, post
from support.installed_programs import need_programs

from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres import PostgresServer
from bus.testing.servers.rabbitmq import Broker
from bus.testing.waiting import wait_until

ROOT = Path(__file__).parents[2]
USER = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """As a newcomer starts it; the tests below build on each other in their order."""
    system = System(tmp_path_factory.mktemp("fresh"))
    yield system.wait_until_started()
    system.kill()


@pytest.fixture(scope="module")
def on_a_broker(rabbitmq: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Started once, because that is half a dozen processes."""
    system = System(tmp_path_factory.mktemp("roles"), BUS_URL=rabbitmq.fresh_vhost())
    yield system.wait_until_started()
    system.kill()


def test_a_newcomer_registers_a_user_and_finds_two_products(fresh: System) -> None:
    # The line of the banner, below, registers Ada.
    answer = post(f"{fresh.auth}/register", USER | {"username": "grace", "email": "grace@example.org"})
    assert answer.status_code == 201
    assert answer.json()["message"] == "User registered successfully"
    assert "password" not in answer.text
    assert fresh.names() == ["Product A", "Product B"]


def test_the_banner_says_what_it_runs_on_and_a_line_that_works(fresh: System) -> None:
    need_programs("curl")
    assert "embedded broker" in fresh.printed()
    assert "SQLite" in fresh.printed()
    command = re.search(r"curl .*", fresh.printed())
    assert command
    get(f"{fresh.auth}/health/ready")  # else a busy machine may be too slow for this one try
    answer = subprocess.run(["sh", "-c", command[0]], capture_output=True, text=True, timeout=START_SECONDS, check=True)
    assert "User registered successfully" in answer.stdout


def test_the_front_ends_show_a_page_that_tells_what_runs(fresh: System) -> None:
    # Of a worker that a busy machine has not let go on, the page says that it does not answer.
    wait_until(lambda: "sqlite" in get(f"{fresh.catalog}/").text, START_SECONDS, "the page knows the database")
    page = get(f"{fresh.catalog}/")
    assert page.headers["Content-Type"].startswith("text/html")
    for expected in ("catalog.create_product", "/products", "embedded broker", "sqlite", "ready"):
        assert expected in page.text


def test_in_one_process_each_front_end_shows_the_metrics_of_all(fresh: System) -> None:
    assert fresh.create().status_code == 201
    created = 'bus_messages_total{operation="catalog.create_product",outcome="answered"} 3.0'  # and two to begin with
    for front_end in (fresh.auth, fresh.catalog):
        # A message is counted after its answer has gone.
        wait_until(lambda front_end=front_end: created in get(f"{front_end}/metrics").text, START_SECONDS, created)
        shown = get(f"{front_end}/metrics").text
        for expected in (
            'bus_consuming{service="auth"} 1.0',
            'bus_consuming{service="catalog"} 1.0',
            'bus_broker_connected{connection="web"} 1.0',
            'method="POST",operation="catalog.create_product",route="/products",service="catalog",status="201"} 1.0',
        ):
            assert expected in shown


def test_ctrl_c_ends_it_cleanly_and_products_survive_and_are_seeded_once(start: Start) -> None:
    first = start().wait_until_started()
    assert first.create("Lamp").status_code == 201
    assert first.interrupt() == 0
    assert "Traceback" not in first.printed()
    second = start().wait_until_started()
    assert second.names() == ["Product A", "Product B", "Lamp"]


def test_without_the_seed_the_catalog_is_empty(start: Start) -> None:
    assert start(SEED="0").wait_until_started().names() == []


class _Made(System):
    """The same with `make run`."""

    def bus(self, *command: str) -> subprocess.Popen[str]:
        make = ["make", "--silent", f"VENV={sys.prefix}", *command]
        return subprocess.Popen(
            make, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


def test_when_make_is_killed_the_system_ends_in_order_by_itself(tmp_path: Path) -> None:
    system = _Made(tmp_path, CONSOLE_PORT=str(free_ports(1)[0])).wait_until_started()
    [run] = psutil.Process(system.process.pid).children()
    system.process.kill()
    try:
        assert system.wait(STOP_SECONDS) == -signal.SIGKILL  # and the output, which both had, is at its end
        assert system.output[-1] == "Stopped."
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            run.kill()


def test_an_impatient_operator_who_presses_ctrl_c_many_times_gets_the_same_clean_end(start: Start) -> None:
    system = start().wait_until_started()
    for _ in range(200):
        system.process.send_signal(signal.SIGINT)
    assert system.wait(STOP_SECONDS) == 0
    assert "Traceback" not in system.printed()


def test_a_taken_port_is_one_clear_sentence(start: Start) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        system = start(CATALOG_PORT=str(taken.getsockname()[1]))
        assert system.wait(START_SECONDS) == 2
        assert "CATALOG_PORT" in system.printed()
        assert len(system.output) == 1


def test_all_mistakes_in_the_settings_are_reported_at_once(start: Start) -> None:
    system = start(BUS_URL="http://x", AUTH_PORT="many", BIND="home")
    assert system.wait(START_SECONDS) == 2
    for name in ("BUS_URL", "AUTH_PORT", "BIND"):
        assert name in system.printed()
    assert "Traceback" not in system.printed()


def test_a_worker_that_fails_inside_ends_the_system_with_an_error(tmp_path: Path) -> None:
    system = Defective(tmp_path, SEED="0").wait_until_started()
    with contextlib.suppress(requests.RequestException):
        requests.get(f"{system.catalog}/products", timeout=10)
    assert system.wait(STOP_SECONDS) == 1
    assert "a defect" in system.printed()


def test_on_a_broker_the_command_line_reaches_every_operation(on_a_broker: System) -> None:
    code, output = on_a_broker.call("catalog.create_product", "name=Lamp", "price=9.90", "quantity=3", "--json")
    assert (code, '"status":201' in output) == (0, True), output
    code, output = on_a_broker.call("catalog.get_product", '{"product_id": 99999}')
    assert (code, "Product not found" in output) == (1, True), output
    code, output = on_a_broker.run(
        "send", "catalog.create_product", "name=Sent", "price=1", "quantity=1", "--id", "sent-1"
    )
    assert (code, output) == (0, "sent-1\n")
    code, output = on_a_broker.call("catalog.get_outcome", "message_id=sent-1")
    assert code == 0, output
    code, output = on_a_broker.run("topology", "--check")
    assert (code, "as declared" in output) == (0, True), output
    code, output = on_a_broker.run("call", "catalog.create_product", "name=Lamp", "price=cheap")
    assert code == 2
    assert "price" in output
    assert "quantity" in output
    assert "Traceback" not in output


def test_several_workers_share_a_queue_have_ports_in_a_row_and_end_together(
    on_a_broker: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker_url = on_a_broker.environment["BUS_URL"]
    first = _ports_in_a_row(2)
    (tmp_path / "port").write_text(str(first))
    monkeypatch.setitem(on_a_broker.environment, "CATALOG_METRICS_PORT_FILE", str(tmp_path / "port"))
    workers = on_a_broker.bus("worker", "catalog", "--processes", "2")
    wait_until(lambda: _consumers(broker_url, "catalog.create_product") == 3, START_SECONDS, "three workers consume")
    for port in (first, first + 1):
        # A worker hears that it consumes a moment after it does.
        assert get(f"http://127.0.0.1:{port}/health/ready").json()["status"] == "ready"
        shown = get(f"http://127.0.0.1:{port}/metrics").text
        assert 'bus_consuming{service="catalog"} 1.0' in shown
    workers.send_signal(signal.SIGTERM)
    assert workers.wait(STOP_SECONDS) == 0
    wait_until(lambda: _consumers(broker_url, "catalog.create_product") == 1, STOP_SECONDS, "one worker is left")
    assert on_a_broker.create().status_code == 201


def test_on_a_broker_the_roles_are_processes_a_killed_worker_comes_back_and_ctrl_c_ends_all(
    on_a_broker: System,
) -> None:
    assert "RabbitMQ" in on_a_broker.printed()
    assert on_a_broker.create().status_code == 201
    worker = _child(on_a_broker, "worker", "catalog")
    worker.kill()
    worker.wait(STOP_SECONDS)
    # The front end says 503 until the new worker answers; then everything works again.
    assert on_a_broker.create("After").status_code == 201
    processes = psutil.Process(on_a_broker.process.pid).children(recursive=True)
    assert on_a_broker.interrupt() == 0
    assert not any(process.is_running() for process in processes)


def test_both_databases_of_the_system_may_be_postgresql(
    start: Start, postgres: PostgresServer, broker_url: str
) -> None:
    auth_url, catalog_url = postgres.fresh_database(), postgres.fresh_database()
    system = start(BUS_URL=broker_url, AUTH_DATABASE_URL=auth_url, CATALOG_DATABASE_URL=catalog_url)
    system.wait_until_started()
    assert "PostgreSQL" in system.printed()
    assert post(f"{system.auth}/register", USER).status_code == 201
    again = post(f"{system.auth}/register", USER | {"username": "ADA"})
    assert (again.status_code, again.json()["error"]) == (409, "Username taken")
    assert system.create().json()["product"]["price"] == 9.9


def test_importing_every_module_opens_nothing() -> None:
    check = """
import pkgutil, socket, sqlite3, threading, importlib
def refuse(*_): raise AssertionError("opened at import")
socket.socket.connect = refuse
before = threading.active_count()
import auth, bus, catalog
for package in (bus, auth, catalog):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", ".env")) and ".versions" not in module.name:
            importlib.import_module(module.name)
assert threading.active_count() == before
"""
    subprocess.run([sys.executable, "-c", check], check=True, timeout=60)


class Defective(System):
    """A system whose workers fail at the first message."""

    def bus(self, *command: str) -> subprocess.Popen[str]:
        defect = """
import sys
from bus.cli import main
from bus.worker.requests import RequestConsumer
def fail(*_): raise RuntimeError("a defect")
RequestConsumer.handle_batch = fail
main()
"""
        return subprocess.Popen(
            [sys.executable, "-c", defect, *command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _ports_in_a_row(count: int) -> int:
    """The first of them."""
    while True:
        [first] = free_ports(1)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            return first


def _consumers(broker_url: str, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        count: int = connection.channel().queue_declare(queue, passive=True).method.consumer_count
        return count


def _child(system: System, *words: str) -> psutil.Process:
    children = psutil.Process(system.process.pid).children()
    (found,) = (child for child in children if child.cmdline()[-2:] == list(words))
    return found
