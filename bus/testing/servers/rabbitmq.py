"""Broker: a real RabbitMQ for tests and benchmarks, found or started."""

import contextlib
import json
import logging
import secrets
import warnings
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from urllib.parse import quote, urlsplit, urlunsplit

import pika  # type: ignore[import-untyped,unused-ignore]
from pika.exceptions import AMQPError  # type: ignore[import-untyped,unused-ignore]

from bus.testing.servers.containers import Container
from bus.testing.servers.part import LoginFailed, Part
from bus.testing.servers.ports import free_ports
from bus.testing.servers.rabbitmq_node import Node, find_server
from bus.testing.servers.recipe import Recipe
from bus.testing.servers.server import Given, Kind, Server
from bus.testing.servers.unavailable import Unavailable
from bus.testing.waiting import wait_until

AMQP_PORT = 5672
USER = "bus"

# One log-in on this machine takes about 10 ms; a broker that is coming up may accept and fall silent.
LOGIN_SECONDS = 5.0

# One rabbitmqctl call costs half a second, an empty vhost a few milliseconds: make some in advance.
VHOSTS_AT_ONCE = 8

# The new vhosts start in the background, all at once, and on a busy machine slowly.
VHOST_SECONDS = 60.0

# From a file: `import_definitions` of RabbitMQ 4.0 hangs when it reads a pipe in a container.
IMPORT = """\
file=$(mktemp) && printf %s "$1" >"$file" && rabbitmqctl import_definitions "$file"
code=$?
rm -f "$file"
exit $code
"""


class NoBroker(Unavailable):
    """No RabbitMQ can be had here. One sentence that names the choices; the fault of the machine."""


class Broker(Part):
    """A running RabbitMQ; `url` is `amqp://user:password@host:port/vhost`, `version` such as "4.0.5"."""

    def __init__(self, url: str, kind: Kind, server: Server) -> None:
        self._spare_vhosts: list[str] = []
        super().__init__(url, kind, server)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl and answer what it wrote; RuntimeError when it failed, NotOurs when the broker is given."""
        return self._server.run("rabbitmqctl", *arguments)

    def stop(self) -> None:
        self._server.stop(SIGTERM)

    def login(self) -> str:
        return _login(self.url)

    def fresh_vhost(self) -> str:
        """Answer the URL of an empty vhost; of a given broker, which is not ours to fill, its own URL."""
        if self.kind == "given":
            return self.url
        if not self._spare_vhosts:
            self._spare_vhosts = self._make_vhosts()
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{self._spare_vhosts.pop()}"))
        wait_until(lambda: _lets_in(url), VHOST_SECONDS, "the new vhost lets us in")
        return url

    def _make_vhosts(self) -> list[str]:
        names = [f"test-{secrets.token_hex(4)}" for _ in range(VHOSTS_AT_ONCE)]
        definitions = json.dumps({"vhosts": [{"name": name} for name in names], "permissions": self._all_of(names)})
        self._server.run("sh", "-c", IMPORT, "import", definitions)
        return names

    def _all_of(self, vhosts: list[str]) -> list[dict[str, str | None]]:
        user = urlsplit(self.url).username
        every = {"configure": ".*", "write": ".*", "read": ".*"}
        return [{"user": user, "vhost": vhost, **every} for vhost in vhosts]


def find_broker(kind: Kind | None = None) -> Broker:
    """Answer a RabbitMQ that lets us in: the one BUS_TEST_URL names, a container, or a private process.

    `kind`, or BUS_TEST_BROKER, allows only that way. Raises NoBroker when none is open.
    """
    return RECIPE.find(kind)


def fresh_vhost(broker: Broker) -> str:
    """Answer the URL of an empty vhost of this broker; a given broker's own URL."""
    return broker.fresh_vhost()


def _from_url(url: str) -> Broker:
    return Broker(url, "given", Given(RECIPE.url_variable))


def _from_image(image: str) -> Broker:
    with warnings.catch_warnings():  # testcontainers uses its own deprecated decorator when it is imported
        warnings.simplefilter("ignore", DeprecationWarning)
        from testcontainers.community.rabbitmq import RabbitMqContainer
    [port] = free_ports(1)
    password = secrets.token_hex(12)  # Docker publishes the port on all addresses of the machine
    rabbitmq = RabbitMqContainer(image, AMQP_PORT, USER, password, "/").with_bind_ports(AMQP_PORT, port)
    with _quiet_pika():
        container = Container(rabbitmq)
    return Broker(_url(USER, password, container.host, port), "container", container)


def _from_programs(server: Path) -> Broker:
    node = Node(server)
    node.start()
    return Broker(_url("guest", "guest", "127.0.0.1", node.port), "process", node)


def _url(user: str, password: str, host: str, port: int) -> str:
    return f"amqp://{user}:{password}@{host}:{port}/{quote('/', safe='')}"


def _login(url: str) -> str:
    """Log in and out with AMQP, as a client would; answer the broker's version. Raises LoginFailed."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = LOGIN_SECONDS
    with _quiet_pika():
        try:
            connection = pika.BlockingConnection(parameters)
        except (AMQPError, OSError) as failure:
            raise LoginFailed(repr(failure)) from failure
        # pika offers the server's properties only on the connection that the blocking one wraps.
        version = str(connection._impl.server_properties["version"])
        connection.close()
    return version


def _lets_in(url: str) -> bool:
    try:
        _login(url)
    except LoginFailed:
        return False
    return True


@contextlib.contextmanager
def _quiet_pika() -> Iterator[None]:
    """Keep pika from reporting every attempt at a broker that is still coming up as an error."""
    logger = logging.getLogger("pika")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


RECIPE = Recipe(
    part="RabbitMQ",
    error=NoBroker,
    url_variable="BUS_TEST_URL",
    kind_variable="BUS_TEST_BROKER",
    image_variable="BUS_TEST_RABBITMQ_IMAGE",
    image="rabbitmq:4-management",
    packages=("rabbitmq-server", "amqp-tools"),
    installed=find_server,
    from_url=_from_url,
    from_image=_from_image,
    from_programs=_from_programs,
)
