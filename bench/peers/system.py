"""The systems of the peers: the front end and the service of each, as their documentation starts them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.contender import Contender, python, started
from bench.peers.environment import python_of
from bench.peers.products import CLIENTS
from bench.servers import Servers
from bus.testing.servers.ports import free_ports


@dataclass(frozen=True)
class Way:
    """How a peer is started: Python's arguments for its service, granian's for its front end, and its settings."""

    service: Sequence[str]
    front: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)


# A thread for each client, as each thread of a Flask front end has a connection to the broker.
FLASK = ("--interface", "wsgi", "--blocking-threads", str(CLIENTS))
NAMEKO_CONFIG = str(Path(__file__).parent / "nameko" / "service.yml")
WAYS = {
    "nameko": Way(
        ("nameko", "run", "--config", NAMEKO_CONFIG, "bench.peers.nameko.service"),
        FLASK,
        # psycopg waits in C by default, and would keep nameko's green threads from running.
        {"PSYCOPG_WAIT_FUNC": "wait_selector"},
    ),
    # Threads, as all run one process; without messages to other workers, of which there are none.
    "celery": Way(
        (
            *("celery", "--app", "bench.peers.celery.tasks", "worker", "--loglevel", "warning"),
            *("--pool", "threads", "--concurrency", str(CLIENTS), "--without-gossip", "--without-mingle"),
        ),
        FLASK,
    ),
    "faststream": Way(
        ("faststream", "run", "bench.peers.faststream.service:app"), ("--interface", "asgi", "--loop", "uvloop")
    ),
}


@contextmanager
def peer(name: str, servers: Servers, folder: Path) -> Iterator[Contender]:
    """A front end and a service on a vhost and a database of their own. Raises NotInstallable."""
    way, interpreter = WAYS[name], python_of(name)
    [port] = free_ports(1)
    environment = {
        "BROKER_URL": servers.broker.fresh_vhost(),
        "DATABASE_URL": servers.database.fresh_database(),
        **way.settings,
    }
    serving = ("granian", *way.front, "--host", "127.0.0.1", "--port", str(port), "--log-level", "error")
    service = python(f"{name}-service", folder, environment, *way.service, interpreter=interpreter)
    front = python(
        f"{name}-front", folder, environment, *serving, f"bench.peers.{name}.front:app", interpreter=interpreter
    )
    with started(service), started(front):
        yield Contender(name, f"http://127.0.0.1:{port}", front, service)
