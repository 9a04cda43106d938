"""The systems of the peers: the front end and the service of each, as their documentation starts them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.contender import Contender, python, started
from bench.peers.environment import python_of
from bench.peers.products import CLIENTS
from bench.servers import Servers
from bus.testing.servers.ports import free_ports

SERVICES: dict[str, Sequence[str]] = {
    "nameko": (
        "nameko",
        "run",
        "--config",
        str(Path(__file__).parent / "nameko" / "service.yml"),
        "bench.peers.nameko.service",
    ),
    # Threads, as all run one process; without messages to other workers, of which there are none.
    "celery": (
        *("celery", "--app", "bench.peers.celery.tasks", "worker", "--pool", "threads", "--concurrency", str(CLIENTS)),
        *("--loglevel", "warning", "--without-gossip", "--without-mingle"),
    ),
    "faststream": ("faststream", "run", "bench.peers.faststream.service:app"),
}
# A thread for each client, as each thread of the Flask front ends has a connection to the broker.
FRONTS: dict[str, Sequence[str]] = {
    "nameko": ("--interface", "wsgi", "--blocking-threads", str(CLIENTS)),
    "celery": ("--interface", "wsgi", "--blocking-threads", str(CLIENTS)),
    "faststream": ("--interface", "asgi", "--loop", "uvloop"),
}


@contextmanager
def peer(name: str, servers: Servers, folder: Path) -> Iterator[Contender]:
    """A front end and a service on a vhost and a database of their own. Raises NotInstallable."""
    interpreter = python_of(name)
    [port] = free_ports(1)
    environment = {
        "BROKER_URL": servers.broker.fresh_vhost(),
        "DATABASE_URL": servers.database.fresh_database(),
        # psycopg waits in C by default, and would keep nameko's green threads from running.
        "PSYCOPG_WAIT_FUNC": "wait_selector",
    }
    serving = ("granian", *FRONTS[name], "--host", "127.0.0.1", "--port", str(port), "--log-level", "error")
    service = python(f"{name}-service", folder, environment, *SERVICES[name], interpreter=interpreter)
    front = python(
        f"{name}-front", folder, environment, *serving, f"bench.peers.{name}.front:app", interpreter=interpreter
    )
    with started(service), started(front):
        yield Contender(name, f"http://127.0.0.1:{port}", front, service)
