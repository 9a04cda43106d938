"""RabbitMQ for tests and benchmarks: a given broker, a container, or a process that we start."""

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
from pika.adapters.utils.connection_workflow import (  # type: ignore[import-untyped,unused-ignore]
    AMQPConnectorException,
)
from pika.exceptions import AMQPError  # type: ignore[import-untyped,unused-ignore]

from bus.testing.servers.containers import Container
from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.ports import free_ports
from bus.testing.servers.provisioning import Provisioner
from bus.testing.servers.rabbitmq_node import Node, find_server
from bus.testing.servers.runner import GivenRunner, Kind, Runner
from bus.testing.servers.server import LoginFailed, Server
from bus.testing.waiting import wait_until

AMQP_PORT = 5672
USER = "bus"

# One log-in on this machine takes about 10 ms; a broker that is starting may accept a connection and say nothing.
LOGIN_SECONDS = 5.0

# One rabbitmqctl call costs half a second, an empty vhost a few milliseconds: create some in advance.
VHOSTS_AT_ONCE = 8
# Quorum queues cost a broker its time even while nobody uses them: those of a hundred vhosts a tenth of a core.
MOST_RETURNED_VHOSTS = 16
DELETE = '[rabbit_vhost:delete(Name, <<"tests">>) || Name <- [{}]].'

# The new vhosts start in the background, all at once, and on a busy machine slowly.
VHOST_SECONDS = 60.0

# From a file: `import_definitions` of RabbitMQ 4.0 hangs when it reads a pipe in a container.
IMPORT = """\
file=$(mktemp) && printf %s "$1" >"$file" && rabbitmqctl import_definitions "$file"
code=$?
rm -f "$file"
exit $code
"""


class NoBroker(ProvisioningFailed):
    """No RabbitMQ is available. One sentence that names the choices; the machine's fault."""


class Broker(Server):
    """A running RabbitMQ; `url` is `amqp://user:password@host:port/vhost`, `version` such as "4.0.5"."""

    def __init__(self, url: str, kind: Kind, runner: Runner) -> None:
        self._spare_vhosts: list[str] = []
        self._returned_vhosts: list[str] = []
        super().__init__(url, kind, runner)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl and return its output.

        Raises RuntimeError when it fails, and NotControllable when the broker is given.
        """
        return self._runner.run("rabbitmqctl", *arguments)

    def stop(self) -> None:
        self._runner.stop(SIGTERM)

    def login(self) -> str:
        return _login(self.url)

    def fresh_vhost(self) -> str:
        """Return the URL of an empty vhost; for a given broker, where we create none, its own URL."""
        if self.kind == "given":
            return self.url
        if not self._spare_vhosts:
            self._spare_vhosts = self._make_vhosts()
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{self._spare_vhosts.pop()}"))
        wait_until(lambda: _accepts_login(url), VHOST_SECONDS, "a log-in to the new vhost")
        return url

    def return_vhost(self, url: str) -> None:
        """Have a vhost of `fresh_vhost` deleted, some time, with all that is in it. Nobody may use it any more."""
        if self.kind == "given":
            return
        self._returned_vhosts.append(urlsplit(url).path[1:])
        if len(self._returned_vhosts) >= MOST_RETURNED_VHOSTS:
            names = ", ".join(f'<<"{name}">>' for name in self._returned_vhosts)
            self._returned_vhosts.clear()
            self.ctl("eval", DELETE.format(names))

    def _make_vhosts(self) -> list[str]:
        names = [f"test-{secrets.token_hex(4)}" for _ in range(VHOSTS_AT_ONCE)]
        definitions = json.dumps({"vhosts": [{"name": name} for name in names], "permissions": self._all_of(names)})
        self._runner.run("sh", "-c", IMPORT, "import", definitions)
        return names

    def _all_of(self, vhosts: list[str]) -> list[dict[str, str | None]]:
        user = urlsplit(self.url).username
        every = {"configure": ".*", "write": ".*", "read": ".*"}
        return [{"user": user, "vhost": vhost, **every} for vhost in vhosts]


def find_broker(kind: Kind | None = None) -> Broker:
    """Return a RabbitMQ that accepts our log-in: the one at BUS_TEST_URL, a container, or a private process.

    `kind`, or BUS_TEST_BROKER, restricts it to one of these. Raises NoBroker when none works.
    """
    return PROVISIONER.find(kind)


def _from_url(url: str) -> Broker:
    return Broker(url, "given", GivenRunner(PROVISIONER.url_variable))


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
    """Log in and out with AMQP, as a client would; return the broker's version. Raises LoginFailed."""
    parameters = pika.URLParameters(url)
    parameters.socket_timeout = parameters.stack_timeout = LOGIN_SECONDS
    with _quiet_pika():
        try:
            connection = pika.BlockingConnection(parameters)
        except (AMQPError, AMQPConnectorException, OSError) as failure:
            raise LoginFailed(repr(failure)) from failure
        # pika offers the server's properties only on the connection that the blocking one wraps.
        version = str(connection._impl.server_properties["version"])
        connection.close()
    return version


def _accepts_login(url: str) -> bool:
    try:
        _login(url)
    except LoginFailed:
        return False
    return True


@contextlib.contextmanager
def _quiet_pika() -> Iterator[None]:
    """Keep pika from logging an error for each attempt while the broker is still starting."""
    logger = logging.getLogger("pika")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


PROVISIONER = Provisioner(
    name="RabbitMQ",
    error=NoBroker,
    url_variable="BUS_TEST_URL",
    kind_variable="BUS_TEST_BROKER",
    image_variable="BUS_TEST_RABBITMQ_IMAGE",
    image="rabbitmq:4-management",
    packages=("rabbitmq-server", "amqp-tools"),
    find_programs=find_server,
    from_url=_from_url,
    from_image=_from_image,
    from_programs=_from_programs,
)
