"""`bus doctor`: says what is right, and for each thing that can be wrong what it is and what to do."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest
from click.testing import CliRunner
from support.long_timeouts import LONG_TIMEOUT_SECONDS, use_long_timeouts
from support.serving import serving

from bus.cli import bus
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import queue_of
from bus.runtime.monitor import Monitor
from bus.telemetry.logs import configure_logs
from bus.telemetry.metrics import Metrics
from bus.testing.servers.ports import free_ports
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.worker.worker import Worker
from catalog import web
from catalog.contract import CreateProduct
from catalog.handlers import catalog

START_SECONDS = 60.0


class DoctorSetup(NamedTuple):
    """The environment in which `bus doctor` runs, and ways to start what it checks."""

    bus_url: str
    database_url: str
    port: int
    environment: pytest.MonkeyPatch
    stack: ExitStack

    def point(self, **variables: str) -> None:
        for name, value in variables.items():
            self.environment.setenv(name, value)

    def migrate(self) -> Database:
        database = Database(self.database_url)
        self.stack.callback(database.close)
        migrate(database, "catalog.migrations")
        return database

    def use_long_timeouts(self) -> None:
        """Use long timeouts for everything that is checked."""
        use_long_timeouts(self.environment)
        for module in ("examination", "ports"):
            self.environment.setattr(f"bus.runtime.doctor.{module}.ANSWER_SECONDS", LONG_TIMEOUT_SECONDS)

    def start_worker(self) -> None:
        configure_logs("error")  # unconfigured, its lines would be among what the command prints meanwhile
        transport = transport_for(self.bus_url, "worker")
        worker = Worker(catalog, transport, self.migrate())
        worker.start()
        self.stack.callback(worker.stop, 10)
        assert transport.wait_until_ready(START_SECONDS)

    def start_front_end(self) -> None:
        client = Client(self.bus_url)
        self.stack.callback(client.close)
        self.stack.enter_context(serving(web.create_app(client), self.port))


@pytest.fixture
def setup(broker_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DoctorSetup]:
    with ExitStack() as stack:
        setup = DoctorSetup(broker_url, database_url, free_ports(1)[0], monkeypatch, stack)
        setup.point(BUS_URL=broker_url, CATALOG_DATABASE_URL=database_url, CATALOG_PORT=str(setup.port))
        yield setup


def _run_doctor(*options: str) -> tuple[int, list[dict[str, str]]]:
    ran = CliRunner().invoke(bus, ["doctor", "catalog", "--json", *options])
    return ran.exit_code, json.loads(ran.stdout)


def _findings_of(check: str, *options: str) -> tuple[set[str], str]:
    """The states and the details of one check's findings."""
    findings = [each for each in _run_doctor(*options)[1] if each["check"] == check]
    assert findings
    return {each["state"] for each in findings}, "\n".join(each["detail"] for each in findings)


def _with(url: str, *, user: str | None = None, port: int | None = None) -> str:
    parts = urlsplit(url)
    login = user if user is not None else parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{port or parts.port}"))


def test_of_a_system_that_runs_everything_is_right(setup: DoctorSetup, rabbitmq: Broker) -> None:
    setup.use_long_timeouts()
    setup.start_worker()
    setup.start_front_end()
    code, findings = _run_doctor()
    # The management API is not among the servers of tests.
    assert {(each["check"], each["state"]) for each in findings if each["check"] != "policies"} == {
        *(("settings", "ok"), ("ports", "ok"), ("database", "ok"), ("broker", "ok")),
        *(("topology", "ok"), ("permissions", "ok"), ("workers", "ok"), ("clocks", "ok")),
    }
    assert code == 0
    details = {each["check"]: each["detail"] for each in findings}
    assert rabbitmq.version in details["broker"]
    assert "PostgreSQL" in details["database"]
    assert "is used by its front end" in details["ports"]
    assert sum(each["check"] == "clocks" for each in findings) == 2


def test_people_get_a_line_for_each_finding_and_a_last_word(setup: DoctorSetup) -> None:
    setup.use_long_timeouts()
    setup.start_worker()
    ran = CliRunner().invoke(bus, ["doctor", "catalog"])
    assert ran.exit_code == 0
    assert ran.output.splitlines()[0].split()[:2] == ["ok", "settings"]
    assert ran.output.endswith("\nNo problems found.\n")
    setup.point(BUS_URL=_with(setup.bus_url, port=free_ports(1)[0]))
    assert CliRunner().invoke(bus, ["doctor", "catalog"]).output.endswith("\n1 problem found.\n")


def test_on_a_new_broker_the_queues_are_missing_and_stay_so(setup: DoctorSetup) -> None:
    setup.use_long_timeouts()
    state, words = _findings_of("topology")
    assert state == {"wrong"}
    assert "catalog.create_product" in words
    assert "bus worker catalog" in words
    assert _findings_of("topology")[0] == {"wrong"}
    assert _findings_of("workers") == (
        {"wrong"},
        "no answer: There is no queue catalog.ping: its service has never run on this broker.",
    )


def test_queues_that_nobody_consumes_are_told_with_what_waits_there(setup: DoctorSetup) -> None:
    with setup.stack:
        setup.start_worker()
    with Client(setup.bus_url) as client:
        client.send(CreateProduct(name="Lamp", price=1, quantity=1))
    state, words = _findings_of("workers")
    assert state == {"wrong"}
    assert "No worker of catalog answers." in words
    assert "catalog.create_product" in words
    assert "1 messages wait" in words


def test_a_queue_that_is_nearly_full_is_told(setup: DoctorSetup) -> None:
    setup.point(QUEUE_BOUND="5")
    with pika.BlockingConnection(pika.URLParameters(setup.bus_url)) as connection:
        queue = queue_of(CreateProduct)
        channel = connection.channel()
        channel.queue_declare(queue.name, durable=True, arguments={**queue.arguments(), "x-max-length": 5})
        channel.confirm_delivery()
        for _ in range(4):
            channel.basic_publish("", queue.name, b"{}")
        assert "nearly full" not in _findings_of("workers")[1]
        channel.basic_publish("", queue.name, b"{}")
        assert "catalog.create_product is nearly full: 5 of 5 messages" in _findings_of("workers")[1]


def test_a_queue_that_is_declared_otherwise_is_told(setup: DoctorSetup) -> None:
    setup.start_worker()
    setup.point(QUEUE_BOUND="77")
    state, words = _findings_of("topology")
    assert state == {"wrong"}
    assert "catalog.create_product is declared differently: PRECONDITION_FAILED" in words
    assert "catalog.get_product" not in words


def test_permissions_that_are_missing_are_told_in_the_brokers_words(setup: DoctorSetup, rabbitmq: Broker) -> None:
    setup.start_worker()
    vhost = urlsplit(setup.bus_url).path[1:]
    rabbitmq.ctl("add_user", f"poor-{vhost}", "poor")
    rabbitmq.ctl(
        "set_permissions", "-p", vhost, f"poor-{vhost}", "^catalog.ping$|^amq", "^$|^amq", "^catalog.ping$|^amq"
    )
    setup.point(BUS_URL=_with(setup.bus_url, user=f"poor-{vhost}:poor"))
    state, words = _findings_of("permissions")
    assert state == {"wrong"}
    assert "exchange 'bus.events'" in words
    assert "queue 'catalog.create_product'" in words
    assert "catalog.ping" not in words
    assert _findings_of("topology") == ({"ok"}, "all queues are as declared")


def test_no_message_is_taken_or_left_by_a_look(setup: DoctorSetup) -> None:
    with setup.stack:
        setup.start_worker()
    with Client(setup.bus_url) as client:
        client.send(CreateProduct(name="Lamp", price=1, quantity=1))
    with pika.BlockingConnection(pika.URLParameters(setup.bus_url)) as connection:
        channel = connection.channel()
        spy = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(spy, "bus.events", "#")
        _run_doctor()
        assert channel.queue_declare(spy, passive=True).method.message_count == 0
        method, _, _ = channel.basic_get("catalog.create_product")
        assert method is not None
        assert not method.redelivered


def test_a_wrong_password_and_a_broker_that_is_away_are_told_apart(setup: DoctorSetup) -> None:
    setup.point(BUS_URL=_with(setup.bus_url, user="guest:wrong"))
    assert "refuses this user name, password" in _findings_of("broker")[1]
    setup.point(BUS_URL=_with(setup.bus_url, port=free_ports(1)[0]))
    assert "cannot be reached" in _findings_of("broker")[1]
    assert _findings_of("topology") == ({"unknown"}, "the broker cannot be reached")


def test_a_broker_that_takes_no_messages_is_told_within_seconds() -> None:
    with find_broker() as broker, pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        url = broker.fresh_vhost()
        setup = DoctorSetup(url, "sqlite:///none.db", free_ports(1)[0], environment, stack)
        setup.point(BUS_URL=url, CATALOG_DATABASE_URL=setup.database_url, CATALOG_PORT=str(setup.port))
        broker.ctl("set_vm_memory_high_watermark", "0.000001")
        assert "short of memory or disk" in _findings_of("broker")[1]


def test_a_database_is_told_to_be_unmigrated_or_away(setup: DoctorSetup) -> None:
    state, words = _findings_of("database")
    assert state == {"wrong"}
    assert words.startswith("its database is at revision None of bus.database.migrations, not ")
    assert words.endswith(": run `bus migrate`.")
    setup.point(CATALOG_DATABASE_URL=_with(setup.database_url, port=free_ports(1)[0]))
    state, words = _findings_of("database")
    assert state == {"wrong"}
    assert "cannot be reached" in words
    assert "refused" in words


def test_a_sqlite_file_that_is_not_there_is_told_and_not_made(setup: DoctorSetup, tmp_path: Path) -> None:
    path = tmp_path / "data" / "catalog.db"
    setup.point(CATALOG_DATABASE_URL=f"sqlite:///{path}")
    state, words = _findings_of("database")
    assert state == {"wrong"}
    assert f"{path} does not exist" in words
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_a_stranger_has_is_told(setup: DoctorSetup) -> None:
    with socket.create_server(("127.0.0.1", setup.port)) as stranger:
        threading.Thread(target=_hang_up, args=(stranger,), daemon=True).start()
        state, words = _findings_of("ports")
    assert state == {"wrong"}
    assert f"Port {setup.port}" in words
    assert "CATALOG_PORT" in words


def test_a_front_end_that_is_not_ready_still_has_its_port(setup: DoctorSetup) -> None:
    setup.use_long_timeouts()
    setup.start_front_end()
    assert _findings_of("ports") == ({"ok"}, f"port {setup.port} is used by a front end that is not ready")


def test_a_port_for_metrics_is_free_or_its_workers_or_a_strangers(setup: DoctorSetup) -> None:
    setup.use_long_timeouts()
    [port] = free_ports(1)
    setup.point(CATALOG_METRICS_PORT=str(port))
    free = f"port {setup.port} is free\n"
    assert _findings_of("ports") == ({"ok"}, f"{free}port {port} is free for metrics")
    for name in ("catalog", "auth"):
        monitor = Monitor(name, "127.0.0.1", port, Metrics(), lambda: "it hangs", lambda: "")
        state, words = _findings_of("ports")
        monitor.close()
        if name == "catalog":
            assert (state, words) == ({"ok"}, f"{free}port {port} is used by its worker for metrics")
        else:
            assert "wrong" in state
            assert "set CATALOG_METRICS_PORT to another" in words


def test_mistakes_in_the_environment_are_all_told(setup: DoctorSetup) -> None:
    setup.point(BUS_URL="http://x", CATALOG_PORT="99999")
    code, findings = _run_doctor()
    assert code == 1
    assert [each["check"] for each in findings] == ["settings", "settings"]


def test_what_is_skipped_is_not_looked_at(setup: DoctorSetup) -> None:
    skipped = [f"--skip={check}" for check in ("ports", "broker", "topology", "policies", "permissions", "workers")]
    setup.point(BUS_URL=_with(setup.bus_url, port=free_ports(1)[0]))
    setup.migrate()
    code, findings = _run_doctor(*skipped)
    assert [each["check"] for each in findings] == ["settings", "database", "clocks"]
    assert code == 0


def test_the_embedded_broker_is_out_of_sight_and_that_is_not_wrong(setup: DoctorSetup) -> None:
    setup.migrate()
    setup.environment.delenv("BUS_URL")
    code, findings = _run_doctor()
    assert [(each["check"], each["state"]) for each in findings][-1] == ("broker", "unknown")
    assert code == 0


def _hang_up(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.close()
