"""Our system: front ends and workers, as `bus` starts them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.contender import START_SECONDS, Contender, python, started
from bench.servers import Servers
from bus.testing.ports import free_ports


@contextmanager
def errand(name: str, service: str, bus_url: str, servers: Servers, folder: Path) -> Iterator[Contender]:
    """One service with its front end, on a database of its own."""
    [port] = free_ports(1)
    prefix = service.upper()
    environment = {
        "BUS_URL": bus_url,
        f"{prefix}_DATABASE_URL": servers.database.fresh_database(),
        f"{prefix}_PORT": str(port),
        "LOG_LEVEL": "warning",
    }
    python(f"{service}-migrate", folder, environment, "bus", "migrate", service).finish(START_SECONDS)
    worker = python(f"{service}-worker", folder, environment, "bus", "worker", service)
    web = python(f"{service}-web", folder, environment, "bus", "web", service)
    with started(worker), started(web):
        yield Contender(name, f"http://127.0.0.1:{port}", web, worker)
