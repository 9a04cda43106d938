"""`bus doctor`: what is right is said to be, and each thing that can be wrong is told in words."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pika
import pytest
from click.testing import CliRunner
from support.long_timeouts import LONG_SECONDS, be_patient

from bus.cli import bus
from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.messaging.topology import queue_of
from bus.runtime.monitor import Monitor
from bus.runtime.servers import EmbeddedServer
from bus.telemetry.logs import configure_logs
from bus.telemetry.metrics import Metrics
from bus.testing.servers.ports import free_ports
from bus.testing.servers.rabbitmq import Broker, find_broker
from bus.worker.worker import Worker
from catalog import web
from catalog.contract import CreateProduct
from catalog.handlers import catalog

START_SECONDS = 60.0

Tell = Callable[..., dict[str, list[str]]]


class Clinic(NamedTuple):
    """Where `bus doctor` looks, and a way to start what it looks for."""

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

    def be_patient(self) -> None:
        """Let all that is looked at take its time to answer."""
        be_patient(self.environment)
        self.environment.setattr("bus.runtime.doctor.workers.ANSWER_SECONDS", LONG_SECONDS)
        self.environment.setattr("bus.runtime.doctor.ports.ASK_SECONDS", LONG_SECONDS)

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
        server = EmbeddedServer("catalog", web.create_app(client), "127.0.0.1", self.port)
        self.stack.callback(server.close)


@pytest.fixture
def clinic(broker_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    with ExitStack() as stack:
        clinic = Clinic(broker_url, database_url, free_ports(1)[0], monkeypatch, stack)
        clinic.point(BUS_URL=broker_url, CATALOG_DATABASE_URL=database_url, CATALOG_PORT=str(clinic.port))
        yield clinic


def _examined(*options: str) -> tuple[int, list[dict[str, str]]]:
    ran = CliRunner().invoke(bus, ["doctor", "catalog", "--json", *options])
    return ran.exit_code, json.loads(ran.stdout)


def _told(check: str, *options: str) -> tuple[set[str], str]:
    """The states and all words about one check."""
    findings = [each for each in _examined(*options)[1] if each["check"] == check]
    assert findings
    return {each["state"] for each in findings}, "\n".join(each["detail"] for each in findings)


def _with(url: str, *, user: str | None = None, port: int | None = None) -> str:
    parts = urlsplit(url)
    login = user if user is not None else parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{port or parts.port}"))


def test_of_a_system_that_runs_everything_is_right(clinic: Clinic, rabbitmq: Broker) -> None:
    clinic.be_patient()
    clinic.start_worker()
    clinic.start_front_end()
    code, findings = _examined()
    assert {(each["check"], each["state"]) for each in findings} == {
        *(("settings", "ok"), ("ports", "ok"), ("database", "ok"), ("broker", "ok")),
        *(("topology", "ok"), ("permissions", "ok"), ("workers", "ok"), ("clocks", "ok")),
    }
    assert code == 0
    details = {each["check"]: each["detail"] for each in findings}
    assert rabbitmq.version in details["broker"]
    assert "PostgreSQL" in details["database"]
    assert "its front end is there" in details["ports"]
    assert sum(each["check"] == "clocks" for each in findings) == 2


def test_people_get_a_line_for_each_finding_and_a_last_word(clinic: Clinic) -> None:
    clinic.be_patient()
    clinic.start_worker()
    ran = CliRunner().invoke(bus, ["doctor", "catalog"])
    assert ran.exit_code == 0
    assert ran.output.splitlines()[0].split()[:2] == ["ok", "settings"]
    assert ran.output.endswith("\nNothing is wrong.\n")
    clinic.point(BUS_URL=_with(clinic.bus_url, port=free_ports(1)[0]))
    assert CliRunner().invoke(bus, ["doctor", "catalog"]).output.endswith("\n1 to mend.\n")


def test_on_a_new_broker_the_queues_are_missing_and_stay_so(clinic: Clinic) -> None:
    clinic.be_patient()
    state, words = _told("topology")
    assert state == {"wrong"}
    assert "catalog.create_product" in words
    assert "bus worker catalog" in words
    assert _told("topology")[0] == {"wrong"}
    assert _told("workers") == (
        {"wrong"},
        "no answer: There is no queue catalog.ping: its service has never run on this broker.",
    )


def test_queues_that_nobody_consumes_are_told_with_what_waits_there(clinic: Clinic) -> None:
    with clinic.stack:
        clinic.start_worker()
    with Client(clinic.bus_url) as client:
        client.send(CreateProduct(name="Lamp", price=1, quantity=1))
    state, words = _told("workers")
    assert state == {"wrong"}
    assert "No worker of catalog answers." in words
    assert "catalog.create_product" in words
    assert "1 messages wait" in words


def test_a_queue_that_is_nearly_full_is_told(clinic: Clinic) -> None:
    clinic.point(QUEUE_BOUND="5")
    with pika.BlockingConnection(pika.URLParameters(clinic.bus_url)) as connection:
        queue = queue_of(CreateProduct)
        channel = connection.channel()
        channel.queue_declare(queue.name, durable=True, arguments={**queue.arguments(), "x-max-length": 5})
        channel.confirm_delivery()
        for _ in range(4):
            channel.basic_publish("", queue.name, b"{}")
        assert "nearly full" not in _told("workers")[1]
        channel.basic_publish("", queue.name, b"{}")
        assert "catalog.create_product is nearly full: 5 of 5 messages" in _told("workers")[1]


def test_a_queue_that_is_declared_otherwise_is_told(clinic: Clinic) -> None:
    clinic.start_worker()
    clinic.point(QUEUE_BOUND="77")
    state, words = _told("topology")
    assert state == {"wrong"}
    assert "catalog.create_product is declared otherwise: PRECONDITION_FAILED" in words
    assert "catalog.get_product" not in words


def test_permissions_that_are_missing_are_told_in_the_brokers_words(clinic: Clinic, rabbitmq: Broker) -> None:
    clinic.start_worker()
    vhost = urlsplit(clinic.bus_url).path[1:]
    rabbitmq.ctl("add_user", f"poor-{vhost}", "poor")
    rabbitmq.ctl(
        "set_permissions", "-p", vhost, f"poor-{vhost}", "^catalog.ping$|^amq", "^$|^amq", "^catalog.ping$|^amq"
    )
    clinic.point(BUS_URL=_with(clinic.bus_url, user=f"poor-{vhost}:poor"))
    state, words = _told("permissions")
    assert state == {"wrong"}
    assert "exchange 'bus.events'" in words
    assert "queue 'catalog.create_product'" in words
    assert "catalog.ping" not in words
    assert _told("topology") == ({"ok"}, "all queues are as declared")


def test_no_message_is_taken_or_left_by_a_look(clinic: Clinic) -> None:
    with clinic.stack:
        clinic.start_worker()
    with Client(clinic.bus_url) as client:
        client.send(CreateProduct(name="Lamp", price=1, quantity=1))
    with pika.BlockingConnection(pika.URLParameters(clinic.bus_url)) as connection:
        channel = connection.channel()
        spy = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(spy, "bus.events", "#")
        _examined()
        assert channel.queue_declare(spy, passive=True).method.message_count == 0
        method, _, _ = channel.basic_get("catalog.create_product")
        assert method is not None
        assert not method.redelivered


def test_a_wrong_password_and_a_broker_that_is_away_are_told_apart(clinic: Clinic) -> None:
    clinic.point(BUS_URL=_with(clinic.bus_url, user="guest:wrong"))
    assert "refuses this user name, password" in _told("broker")[1]
    clinic.point(BUS_URL=_with(clinic.bus_url, port=free_ports(1)[0]))
    assert "cannot be reached" in _told("broker")[1]
    assert _told("topology") == ({"unknown"}, "the broker cannot be asked")


def test_a_broker_that_takes_no_messages_is_told_within_seconds() -> None:
    with find_broker() as broker, pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        url = broker.fresh_vhost()
        clinic = Clinic(url, "sqlite:///:memory:", free_ports(1)[0], environment, stack)
        clinic.point(BUS_URL=url, CATALOG_DATABASE_URL=clinic.database_url, CATALOG_PORT=str(clinic.port))
        broker.ctl("set_vm_memory_high_watermark", "0.000001")
        assert "short of memory or disk" in _told("broker")[1]


def test_a_database_is_told_to_be_unmigrated_or_away(clinic: Clinic) -> None:
    state, words = _told("database")
    assert state == {"wrong"}
    assert words.startswith("its database is at revision None of bus.database.migrations, not ")
    assert words.endswith(": run `bus migrate`.")
    clinic.point(CATALOG_DATABASE_URL=_with(clinic.database_url, port=free_ports(1)[0]))
    state, words = _told("database")
    assert state == {"wrong"}
    assert "cannot be reached" in words
    assert "refused" in words


def test_a_sqlite_file_that_is_not_there_is_told_and_not_made(clinic: Clinic, tmp_path: Path) -> None:
    path = tmp_path / "data" / "catalog.db"
    clinic.point(CATALOG_DATABASE_URL=f"sqlite:///{path}")
    state, words = _told("database")
    assert state == {"wrong"}
    assert f"{path} is not there" in words
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_a_stranger_has_is_told(clinic: Clinic) -> None:
    with socket.create_server(("127.0.0.1", clinic.port)) as stranger:
        threading.Thread(target=_hang_up, args=(stranger,), daemon=True).start()
        state, words = _told("ports")
    assert state == {"wrong"}
    assert f"Port {clinic.port}" in words
    assert "CATALOG_PORT" in words


def test_a_front_end_that_is_not_ready_still_has_its_port(clinic: Clinic) -> None:
    clinic.be_patient()
    clinic.start_front_end()
    assert _told("ports") == ({"ok"}, f"port {clinic.port}: a front end is there, and is not ready now")


def test_a_port_for_metrics_is_free_or_its_workers_or_a_strangers(clinic: Clinic) -> None:
    clinic.be_patient()
    [port] = free_ports(1)
    clinic.point(CATALOG_METRICS_PORT=str(port))
    free = f"port {clinic.port} is free\n"
    assert _told("ports") == ({"ok"}, f"{free}port {port} is free for metrics")
    for name in ("catalog", "auth"):
        monitor = Monitor(name, "127.0.0.1", port, Metrics(), lambda: "it hangs", lambda: "")
        state, words = _told("ports")
        monitor.close()
        if name == "catalog":
            assert (state, words) == ({"ok"}, f"{free}port {port}: its worker is there, with metrics")
        else:
            assert "wrong" in state
            assert "set CATALOG_METRICS_PORT to another" in words


def test_mistakes_in_the_environment_are_all_told(clinic: Clinic) -> None:
    clinic.point(BUS_URL="http://x", CATALOG_PORT="99999")
    code, findings = _examined()
    assert code == 1
    assert [each["check"] for each in findings] == ["settings", "settings"]


def test_what_is_skipped_is_not_looked_at(clinic: Clinic) -> None:
    skipped = [f"--skip={check}" for check in ("ports", "broker", "topology", "permissions", "workers")]
    clinic.point(BUS_URL=_with(clinic.bus_url, port=free_ports(1)[0]))
    clinic.migrate()
    code, findings = _examined(*skipped)
    assert [each["check"] for each in findings] == ["settings", "database", "clocks"]
    assert code == 0


def test_the_embedded_broker_is_out_of_sight_and_that_is_not_wrong(clinic: Clinic) -> None:
    clinic.migrate()
    clinic.environment.delenv("BUS_URL")
    code, findings = _examined()
    assert [(each["check"], each["state"]) for each in findings][-1] == ("broker", "unknown")
    assert code == 0


def _hang_up(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.close()
