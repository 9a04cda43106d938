"""Our system: front ends and workers, as `bus` starts them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.contender import START_SECONDS, Contender, python, started
from bench.servers import Servers
from bus.testing.servers.ports import free_ports

QUIET = {"LOG_LEVEL": "warning"}


@contextmanager
def errand_seen(name: str, bus_url: str, servers: Servers, folder: Path) -> Iterator[Contender]:
    """The catalog with all that shows what it does: a line for each outcome, metrics, and traces to a collector."""
    collector_port, metrics_port = free_ports(2)
    settings = {
        "LOG_LEVEL": "info",
        "CATALOG_METRICS_PORT": str(metrics_port),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector_port}",
    }
    folder.mkdir()
    collector = python("collector", folder, {}, "bench.collector", str(collector_port))
    with started(collector), errand(name, "catalog", bus_url, servers, folder, settings) as contender:
        yield contender


@contextmanager
def errand(
    name: str, service: str, bus_url: str, servers: Servers, folder: Path, settings: Mapping[str, str] = QUIET
) -> Iterator[Contender]:
    """One service with its front end, on a database of its own."""
    [port] = free_ports(1)
    prefix = service.upper()
    environment = {
        "BUS_URL": bus_url,
        f"{prefix}_DATABASE_URL": servers.database.fresh_database(),
        f"{prefix}_PORT": str(port),
        **settings,
    }
    python(f"{service}-migrate", folder, environment, "bus.cli", "migrate", service).finish(START_SECONDS)
    worker = python(f"{service}-worker", folder, environment, "bus.cli", "worker", service)
    web = python(f"{service}-web", folder, environment, "bus.cli", "web", service)
    with started(worker), started(web):
        yield Contender(name, f"http://127.0.0.1:{port}", web, worker)
