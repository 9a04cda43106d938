"""The tutorial's system: both of its processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contender import Contender, python, started
from bench.servers import Servers
from bus.testing.servers.ports import free_ports

SERVING = "bench.tutorial.serving"


@contextmanager
def tutorial(name: str, servers: Servers, folder: Path, *, keep_alive: bool) -> Iterator[Contender]:
    """A front end and a product service; without `keep_alive` each request opens a connection between them."""
    front_port, products_port = free_ports(2)
    environment = {
        "DATABASE_URL": servers.database.fresh_database(),
        "PRODUCTS_URL": f"http://127.0.0.1:{products_port}",
        "KEEP_ALIVE": "1" if keep_alive else "0",
    }
    kind = "session" if keep_alive else "plain"
    service = python(f"products-{kind}", folder, environment, SERVING, "products", str(products_port))
    front = python(f"front-{kind}", folder, environment, SERVING, "front", str(front_port))
    with started(service), started(front):
        yield Contender(name, f"http://127.0.0.1:{front_port}", front, service)
