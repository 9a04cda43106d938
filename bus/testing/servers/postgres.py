"""PostgreSQL for tests and benchmarks: a given server, a container, or a process that we start."""

import secrets
from pathlib import Path
from signal import SIGINT, SIGQUIT
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from bus.testing.servers.containers import Container
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres_cluster import USER, Cluster, find_programs
from bus.testing.servers.provisioning import Provisioner
from bus.testing.servers.runner import GivenRunner, Kind, Runner
from bus.testing.servers.server import LoginFailed, Server

POSTGRES_PORT = 5432

# One log-in on this machine takes about 10 ms, on a busy one seconds; libpq counts in whole seconds, two at least.
LOGIN_SECONDS = 20


class NoDatabase(ProvisioningFailed):
    """No PostgreSQL is available. One sentence that names the choices; the machine's fault."""


class PostgresServer(Server):
    """A running PostgreSQL; `url` is `postgresql+psycopg://…` for SQLAlchemy, `version` such as "17.2"."""

    def __init__(self, url: str, kind: Kind, runner: Runner) -> None:
        self._made: list[str] = []
        super().__init__(url, kind, runner)

    def stop(self, *, immediate: bool = False) -> None:
        """End it: open transactions are rolled back; `immediate` leaves that to the recovery at the next start."""
        self._runner.stop(SIGQUIT if immediate else SIGINT)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop it and start it again; returns when a log-in succeeds."""
        self.stop(immediate=immediate)
        self.start()

    def login(self) -> str:
        try:
            with self._connect() as connection:
                major, minor = divmod(connection.info.server_version, 10_000)
        except psycopg.OperationalError as failure:
            raise LoginFailed(str(failure)) from failure
        return f"{major}.{minor}"

    def fresh_database(self) -> str:
        """Create an empty database and return its URL. Raises psycopg's InsufficientPrivilege when we may not."""
        name = f"bus_test_{secrets.token_hex(4)}"
        with self._connect() as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        self._made.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def do_less(self) -> None:
        """Have it wait for no disk (`fsync`), which a killed server survives, and only a power cut would not.

        And look less often for tables to vacuum: it would start a process for each of hundreds of databases a minute.
        For tests, not for measurements. A given server keeps its settings.
        """
        if self.kind != "given":
            with self._connect() as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1h'")
                connection.execute("SELECT pg_reload_conf()")

    def close(self) -> None:
        """End it and remove what we made: on a given server, the databases that we created."""
        if self.kind == "given":
            self._drop_made()
        super().close()

    def _drop_made(self) -> None:
        with self._connect() as connection:
            while self._made:
                drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
                connection.execute(drop.format(Identifier(self._made.pop())))

    def _connect(self) -> psycopg.Connection:
        plain = self.url.replace("postgresql+psycopg://", "postgresql://", 1)
        return psycopg.connect(plain, autocommit=True, connect_timeout=LOGIN_SECONDS)


def find_database(kind: Kind | None = None) -> PostgresServer:
    """Return a PostgreSQL that accepts our log-in: the one at BUS_TEST_POSTGRES_URL, a container, or a private process.

    `kind`, or BUS_TEST_DATABASE, restricts it to one of these. Raises NoDatabase when none works.
    """
    return PROVISIONER.find(kind)


def _from_url(url: str) -> PostgresServer:
    scheme, _, rest = url.partition("://")
    named = "postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme
    return PostgresServer(f"{named}://{rest}", "given", GivenRunner(PROVISIONER.url_variable))


def _from_image(image: str) -> PostgresServer:
    from testcontainers.community.postgres import PostgresContainer

    [port] = free_ports(1)
    password = secrets.token_hex(12)  # Docker publishes the port on all addresses of the machine
    postgres = PostgresContainer(image, POSTGRES_PORT, USER, password, USER).with_bind_ports(POSTGRES_PORT, port)
    container = Container(postgres)
    return PostgresServer(
        f"postgresql+psycopg://{USER}:{password}@{container.host}:{port}/{USER}", "container", container
    )


def _from_programs(programs: Path) -> PostgresServer:
    cluster = Cluster(programs)
    cluster.start()
    return PostgresServer(f"postgresql+psycopg://{USER}@127.0.0.1:{cluster.port}/postgres", "process", cluster)


PROVISIONER = Provisioner(
    name="PostgreSQL",
    error=NoDatabase,
    url_variable="BUS_TEST_POSTGRES_URL",
    kind_variable="BUS_TEST_DATABASE",
    image_variable="BUS_TEST_POSTGRES_IMAGE",
    image="postgres:17",
    packages=("postgresql",),
    find_programs=find_programs,
    from_url=_from_url,
    from_image=_from_image,
    from_programs=_from_programs,
)
