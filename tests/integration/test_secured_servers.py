"""A RabbitMQ and a PostgreSQL that speak TLS alone and ask for certificates, and broker users with few permissions.

The users are those that deploy/make-secrets makes for the containers.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import pika
import psycopg
import pytest
from click.testing import CliRunner
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker
from psycopg.sql import SQL, Identifier
from support.certificates import Authority
from support.dead_letters import wait_for_letters
from support.long_timeouts import use_long_timeouts
from support.worker_threads import System

import auth.handlers
import auth.web
import catalog.handlers
import catalog.web
from bus.cli import bus
from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.rabbitmq import Inspection
from bus.messaging.rabbitmq.confirm_channel import ConfirmingChannel
from bus.messaging.transport import TransportFailure
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres import PROVISIONER as POSTGRES
from bus.testing.servers.postgres_cluster import USER, Cluster
from bus.testing.servers.rabbitmq import PROVISIONER as RABBITMQ
from bus.testing.servers.rabbitmq import Broker
from bus.testing.servers.rabbitmq_node import Node
from bus.testing.waiting import wait_until

MAKE_SECRETS = Path(__file__).parents[2] / "deploy" / "make-secrets"
WAIT_SECONDS = 60.0
TLS_LISTENER = """\
listeners.ssl.default = 127.0.0.1:{port}
ssl_options.cacertfile = {ca}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
SERVER_CERTIFICATE = {"ssl": "on", "ssl_ca_file": "ca.pem", "ssl_cert_file": "server.pem", "ssl_key_file": "server.key"}
# Only with a certificate for the user's name: https://www.postgresql.org/docs/current/auth-cert.html
ADMISSION = "hostssl all all 127.0.0.1/32 cert\nhostssl all all ::1/128 cert\n"

ADA = {"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}
LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}


@dataclass
class Secured:
    """The servers. `users` has the passwords of the broker's users; `stranger` is an authority that nobody trusts."""

    broker: Broker
    tls_port: int
    cluster: Cluster
    authority: Authority
    stranger: Authority
    certificate: tuple[Path, Path]
    users: dict[str, str]

    def bus_url(self, user: str, **options: str) -> str:
        """The URL for a user. Options replace those that it takes; an empty one leaves it out."""
        certificate, key = map(str, self.certificate)
        given = {"cacertfile": str(self.authority.file), "certfile": certificate, "keyfile": key, **options}
        query = urlencode({name: value for name, value in given.items() if value})
        return f"amqps://{user}:{self.users[user]}@localhost:{self.tls_port}/{quote('/', safe='')}?{query}"

    def database_url(self, database: str, **options: str) -> str:
        """The URL of a database, with options as above."""
        certificate, key = map(str, self.certificate)
        given = {"sslmode": "verify-full", "sslrootcert": str(self.authority.file), "sslcert": certificate}
        query = urlencode({name: value for name, value in {**given, "sslkey": key, **options}.items() if value})
        return f"postgresql://{USER}@localhost:{self.cluster.port}/{database}?{query}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, stranger = Authority(folder / "authority"), Authority(folder / "stranger")
    server = authority.give("server", "localhost")
    with ExitStack() as stack:
        [tls_port] = free_ports(1)
        files = {"ca": authority.file, "certificate": server[0], "key": server[1]}
        node = Node(_programs(RABBITMQ), settings=TLS_LISTENER.format(port=tls_port, **files))
        node.start()
        plain = f"amqp://guest:guest@127.0.0.1:{node.port}/{quote('/', safe='')}"
        broker = stack.enter_context(Broker(plain, "process", node))
        cluster = stack.enter_context(closing(_cluster(authority, server)))
        subprocess.run([MAKE_SECRETS, folder / "secrets"], check=True, timeout=WAIT_SECONDS)
        definitions = folder / "secrets" / "definitions.json"
        broker.ctl("import_definitions", str(definitions))
        users = {user["name"]: user["password"] for user in json.loads(definitions.read_text())["users"]}
        certificate = authority.give(USER)
        yield Secured(broker, tls_port, cluster, authority, stranger, certificate, users)


def _programs(provisioner: object) -> Path:
    programs: Path | None = provisioner._installed() or provisioner._install()  # type: ignore[attr-defined]
    assert programs
    return programs


def _cluster(authority: Authority, server: tuple[Path, Path]) -> Cluster:
    cluster = Cluster(_programs(POSTGRES), SERVER_CERTIFICATE)
    data = cluster.folder / "data"
    owner = data.stat()
    for source, name in ((authority.file, "ca.pem"), (server[0], "server.pem"), (server[1], "server.key")):
        shutil.copy2(source, data / name)
        os.chown(data / name, owner.st_uid, owner.st_gid)  # PostgreSQL reads a key that is its own alone
    (data / "pg_hba.conf").write_text(ADMISSION)
    cluster.start()
    return cluster


def _database(secured: Secured, name: str) -> Database:
    """A new database of a service, migrated over TLS."""
    server = Database(secured.database_url("postgres"))
    wait_until(lambda: _is_up(server), WAIT_SECONDS, "a log-in to PostgreSQL")
    server.close()
    with psycopg.connect(secured.database_url("postgres"), autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    database = Database(secured.database_url(name))
    migrate(database, f"{name}.migrations")
    return database


def _is_up(database: Database) -> bool:
    try:
        with database.reading() as transaction:
            return bool(transaction.connection.exec_driver_sql("SELECT 1").scalar_one())
    except DatabaseUnavailable:
        return False


@pytest.fixture(scope="module")
def system(secured: Secured) -> Iterator[System]:
    """A worker of each service, as its own user."""
    with ExitStack() as stack:
        systems = []
        for service in (auth.handlers.auth, catalog.handlers.catalog):
            system = stack.enter_context(System(secured.bus_url(f"{service.name}-worker")))
            system.start(service, _database(secured, service.name))
            systems.append(system)
        systems[0].databases.update(systems[1].databases)
        yield systems[0]


def test_the_system_works_over_tls_with_users_of_few_permissions(secured: Secured, system: System) -> None:
    with RetryingClient(secured.bus_url("auth-web"), name="auth-web") as client:
        assert auth.web.create_app(client).test_client().post("/register", json=ADA).status_code == 201
    with RetryingClient(secured.bus_url("catalog-web"), name="catalog-web") as client:
        browser = catalog.web.create_app(client).test_client()
        created = browser.post("/products", json=LAMP)
        assert created.status_code == 201
        assert browser.get(created.headers["Location"]).get_json()["name"] == "Lamp"
    database = system.databases["catalog"]
    with database.reading() as transaction:
        encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert transaction.connection.exec_driver_sql(encrypted).scalar_one() is True
    wait_until(lambda: not _unsent(database), WAIT_SECONDS, "the product's event is confirmed")
    with pika.BlockingConnection(_plain(secured, "catalog-web")) as connection:
        connection.channel().basic_publish("", "catalog.create_product", b"{")
    assert wait_for_letters(database, 1)[0].reason == "malformed-json"


def test_messages_and_confirms_are_decoded_by_the_fast_lane_over_tls_too(
    secured: Secured, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_pika: list[str] = []
    for owner, name in ((Channel, "_on_deliver"), (ConfirmingChannel, "_confirmed_by_pika")):
        monkeypatch.setattr(owner, name, _noted(by_pika, name, getattr(owner, name)))
    with RetryingClient(secured.bus_url("catalog-web"), name="catalog-web") as client:
        browser = catalog.web.create_app(client).test_client()
        created = browser.post("/products", json=LAMP)
        assert browser.get(created.headers["Location"]).get_json()["name"] == "Lamp"
    assert not by_pika


def _noted(calls: list[str], name: str, function: Callable[..., None]) -> Callable[..., None]:
    def noted(*arguments: object) -> None:
        calls.append(name)
        function(*arguments)

    return noted


def _unsent(database: Database) -> int:
    with database.reading() as transaction:
        unsent = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        return int(transaction.connection.exec_driver_sql(unsent).scalar_one())


def _plain(secured: Secured, user: str) -> pika.ConnectionParameters:
    """Without TLS, for what has nothing to do with it."""
    login = pika.PlainCredentials(user, secured.users[user])
    return pika.ConnectionParameters(host="127.0.0.1", port=secured.broker._runner.port, credentials=login)


@pytest.mark.parametrize("service", ["auth", "catalog"])
def test_a_worker_may_do_all_that_the_doctor_looks_at(
    secured: Secured, system: System, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It declares every queue, reads them, and publishes to every exchange."""
    use_long_timeouts(monkeypatch)
    monkeypatch.setenv("BUS_URL", secured.bus_url(f"{service}-worker"))
    monkeypatch.setenv("RETRY_SECONDS", "1")  # as the workers here have it
    skipped = [f"--skip={check}" for check in ("database", "ports", "workers", "clocks")]
    ran = CliRunner().invoke(bus, ["doctor", service, "--json", *skipped])
    assert ran.exit_code == 0, ran.output
    checks = {finding["check"]: finding["state"] for finding in json.loads(ran.stdout)}
    assert checks["permissions"] == checks["topology"] == "ok"


FORBIDDEN = [
    ("catalog-web", lambda channel: channel.basic_consume("catalog.get_product", print)),
    ("catalog-web", lambda channel: channel.queue_declare("catalog.get_product", durable=True)),
    ("catalog-web", lambda channel: channel.queue_delete("catalog.create_product")),
    ("catalog-web", lambda channel: _published(channel, "bus.events", "catalog.product_changed")),
    ("catalog-web", lambda channel: channel.queue_bind("catalog.dead", "bus.events", "#")),
    ("catalog-worker", lambda channel: channel.basic_consume("auth.register", print)),
    ("catalog-worker", lambda channel: channel.basic_get("auth.dead")),
    ("catalog-worker", lambda channel: channel.queue_declare("auth.other", durable=True)),
    ("catalog-worker", lambda channel: _published(channel, "auth.retried", "auth.register")),
]


def _published(channel: pika.channel.Channel, exchange: str, key: str) -> None:
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"{}")


@pytest.mark.parametrize("number", range(len(FORBIDDEN)))
def test_the_broker_refuses_what_a_user_does_not_need(secured: Secured, system: System, number: int) -> None:
    user, attempt = FORBIDDEN[number]
    with pika.BlockingConnection(_plain(secured, user)) as connection:
        channel = connection.channel()
        with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
            attempt(channel)


def test_a_broker_whose_certificate_is_not_right_is_not_used(secured: Secured) -> None:
    for options in ({"cacertfile": str(secured.stranger.file)}, {"server_name_indication": "broker.example"}):
        with pytest.raises(TransportFailure, match=r"(?i)certificate"):
            Inspection(secured.bus_url("catalog-web", **options))


def test_a_broker_that_asks_for_a_certificate_accepts_none_of_a_stranger(secured: Secured) -> None:
    certificate, key = map(str, secured.stranger.give(USER))
    for options in ({"certfile": "", "keyfile": ""}, {"certfile": certificate, "keyfile": key}):
        with pytest.raises(TransportFailure, match="cannot be reached"):
            Inspection(secured.bus_url("catalog-web", **options))


def test_a_database_whose_certificate_is_not_right_is_not_used(secured: Secured, system: System) -> None:
    certificate, key = map(str, secured.stranger.give(USER))
    for options, words in (
        ({"sslrootcert": str(secured.stranger.file)}, "certificate verify failed"),
        ({"sslcert": certificate, "sslkey": key}, "(?i)unknown ca|certificate"),
        ({"sslmode": "disable", "sslcert": "", "sslkey": "", "sslrootcert": ""}, "no encryption"),
    ):
        database = Database(secured.database_url("catalog", **options))
        with pytest.raises(DatabaseUnavailable, match=words), database.reading() as transaction:
            transaction.connection.exec_driver_sql("SELECT 1")
        database.close()


def test_a_client_over_tls_comes_back_after_its_connection_was_closed(secured: Secured, system: System) -> None:
    with Client(secured.bus_url("catalog-web")) as client:
        browser = catalog.web.create_app(client).test_client()
        wait_until(lambda: browser.get("/products").status_code == 200, WAIT_SECONDS, "an answer")
        secured.broker.ctl("close_all_user_connections", "catalog-web", "by the test")
        wait_until(lambda: browser.get("/products").status_code == 200, WAIT_SECONDS, "an answer over a new connection")
