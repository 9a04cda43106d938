"""Database: a real PostgreSQL for tests and benchmarks, found or started."""

import secrets
from pathlib import Path
from signal import SIGINT, SIGQUIT
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg.sql import SQL, Identifier

from bus.testing.servers.containers import Container
from bus.testing.servers.part import LoginFailed, Part
from bus.testing.servers.ports import free_ports
from bus.testing.servers.postgres_cluster import USER, Cluster, find_programs
from bus.testing.servers.recipe import Recipe
from bus.testing.servers.server import Given, Kind, Server
from bus.testing.servers.unavailable import Unavailable

POSTGRES_PORT = 5432

# One log-in on this machine takes about 10 ms, on a busy one seconds; libpq counts in whole seconds, two at least.
LOGIN_SECONDS = 20


class NoDatabase(Unavailable):
    """No PostgreSQL can be had here. One sentence that names the choices; the fault of the machine."""


class Database(Part):
    """A running PostgreSQL; `url` is `postgresql+psycopg://…`, as SQLAlchemy wants it, `version` such as "17.2"."""

    def __init__(self, url: str, kind: Kind, server: Server) -> None:
        self._made: list[str] = []
        super().__init__(url, kind, server)

    def stop(self, *, immediate: bool = False) -> None:
        """End it: open transactions are rolled back; `immediate` leaves that to the recovery at the next start."""
        self._server.stop(SIGQUIT if immediate else SIGINT)

    def restart(self, *, immediate: bool = False) -> None:
        """Stop it and bring it back; returns when it lets us in."""
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
        """Make an empty database and answer its URL; psycopg's InsufficientPrivilege on a server that forbids it."""
        name = f"bus_test_{secrets.token_hex(4)}"
        with self._connect() as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        self._made.append(name)
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def close(self) -> None:
        """End it and remove all that is ours: from a given server the databases that we made there."""
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


def find_database(kind: Kind | None = None) -> Database:
    """Answer a PostgreSQL that lets us in: the one BUS_TEST_POSTGRES_URL names, a container, or a private process.

    `kind`, or BUS_TEST_DATABASE, allows only that way. Raises NoDatabase when none is open.
    """
    return RECIPE.find(kind)


def _from_url(url: str) -> Database:
    scheme, _, rest = url.partition("://")
    named = "postgresql+psycopg" if scheme in ("postgres", "postgresql") else scheme
    return Database(f"{named}://{rest}", "given", Given(RECIPE.url_variable))


def _from_image(image: str) -> Database:
    from testcontainers.community.postgres import PostgresContainer

    [port] = free_ports(1)
    password = secrets.token_hex(12)  # Docker publishes the port on all addresses of the machine
    postgres = PostgresContainer(image, POSTGRES_PORT, USER, password, USER).with_bind_ports(POSTGRES_PORT, port)
    container = Container(postgres)
    return Database(f"postgresql+psycopg://{USER}:{password}@{container.host}:{port}/{USER}", "container", container)


def _from_programs(programs: Path) -> Database:
    cluster = Cluster(programs)
    cluster.start()
    return Database(f"postgresql+psycopg://{USER}@127.0.0.1:{cluster.port}/postgres", "process", cluster)


RECIPE = Recipe(
    part="PostgreSQL",
    error=NoDatabase,
    url_variable="BUS_TEST_POSTGRES_URL",
    kind_variable="BUS_TEST_DATABASE",
    image_variable="BUS_TEST_POSTGRES_IMAGE",
    image="postgres:17",
    packages=("postgresql",),
    installed=find_programs,
    from_url=_from_url,
    from_image=_from_image,
    from_programs=_from_programs,
)
