"""Running: a worker process, and the whole system for `bus run`."""

import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from bus.client.client import Client
from bus.database.engine import Database, DatabaseUnavailable
from bus.database.migrate import check_migrated, migrate
from bus.messaging.connect import transport_for
from bus.messaging.transport import Transport
from bus.runtime.monitor import Monitor
from bus.runtime.seeding import seed
from bus.runtime.servers import EMBEDDED_IN_FLIGHT, EmbeddedServer, check_port
from bus.runtime.settings import Settings
from bus.runtime.supervisor import Supervisor, stop_on_signals
from bus.service.application import Application
from bus.telemetry.export import FLUSH_SECONDS, spans_from
from bus.telemetry.metrics import Metrics
from bus.telemetry.spans import Spans
from bus.worker.worker import HandlerHung, Worker

# SIGTERM: time to finish what is in hand.
DRAIN_SECONDS = 20.0
# A handler hangs, and its process is to end: time for what else is in hand.
HUNG_SECONDS = 2.0
# Between two looks at whether a transport has given up.
WATCH_SECONDS = 0.5
# `bus run` says where the front ends are when they answer, or after this that they do not.
START_SECONDS = 60.0

log = structlog.get_logger("bus.running")

Ready = Callable[[], None]


def run_worker(application: Application, settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT. Raises TransportFailure, NotMigrated and HandlerHung."""
    stopping = stop_on_signals()
    database = _database(application, settings)
    _wait_until_migrated(application, database, stopping)
    transport = _worker_transport(application, settings)
    metrics = Metrics() if settings.services[application.name].metrics_port else None
    spans = spans_from(os.environ, f"{application.name}-worker", settings.bus_url)
    worker = _worker(application, settings, transport, database, metrics, spans)
    monitor = _monitor(application.name, worker, metrics, settings)
    worker.start()
    log.info("worker_started", service=application.name, broker=transport.describe(), database=database.kind)
    while not (transport.failure or worker.failure or stopping.wait(WATCH_SECONDS)):
        pass
    failure = transport.failure or worker.failure
    worker.stop(HUNG_SECONDS if isinstance(failure, HandlerHung) else DRAIN_SECONDS)
    if monitor is not None:
        monitor.close()
    if spans is not None:
        spans.close(FLUSH_SECONDS)
    database.close()
    if failure:
        raise failure
    log.info("worker_stopped", service=application.name, dropped_replies=transport.dropped_replies)


def run_embedded(applications: Sequence[Application], settings: Settings, on_ready: Ready) -> None:
    """Run everything in this process until SIGTERM or SIGINT.

    Raises PortTaken and DatabaseUnavailable, and what ended a worker that should not have ended.
    """
    stopping = stop_on_signals()
    _check_ports(applications, settings)
    databases = [_database(application, settings) for application in applications]
    for application, database in zip(applications, databases, strict=True):
        migrate(database, application.migrations)
    metrics, spans = Metrics(), spans_from(os.environ, "errand", settings.bus_url)
    workers = [
        _worker(application, settings, _worker_transport(application, settings), database, metrics, spans)
        for application, database in zip(applications, databases, strict=True)
    ]
    for worker in workers:
        worker.start()
    client = Client(settings.bus_url, name="web", max_in_flight=EMBEDDED_IN_FLIGHT, metrics=metrics, spans=spans)
    servers = [
        EmbeddedServer(each.name, each.web(client), settings.bind, settings.services[each.name].port)
        for each in applications
    ]
    is_over = partial(_is_over, workers, stopping)
    if seed(applications, settings, is_over, spans):
        on_ready()
    while not (is_over() or stopping.wait(WATCH_SECONDS)):
        pass
    failure = next((worker.failure for worker in workers if worker.failure is not None), None)
    for server in servers:
        server.close()
    for worker in workers:
        worker.stop(HUNG_SECONDS if isinstance(failure, HandlerHung) else DRAIN_SECONDS)
    client.close()
    if spans is not None:
        spans.close(FLUSH_SECONDS)
    for database in databases:
        database.close()
    if failure is not None:
        raise failure


def run_processes(applications: Sequence[Application], settings: Settings, on_ready: Ready) -> int:
    """Run front ends and workers as processes of their own until SIGTERM or SIGINT; returns the exit code.

    Raises PortTaken and DatabaseUnavailable.
    """
    stopping = stop_on_signals()
    _check_ports(applications, settings)
    for application in applications:
        migrate_service(application, settings)
    supervisor = Supervisor([(role, each.name) for each in applications for role in ("worker", "web")])
    supervisor.start()
    try:
        starter = threading.Thread(target=_announce, args=(applications, settings, on_ready, stopping), daemon=True)
        starter.start()
        return supervisor.watch(stopping)
    finally:
        supervisor.stop()


def migrate_service(application: Application, settings: Settings) -> str:
    """Bring a service's database up to date; returns the revision. Raises DatabaseUnavailable."""
    database = _database(application, settings)
    try:
        return migrate(database, application.migrations)
    finally:
        database.close()


def _worker_transport(application: Application, settings: Settings) -> Transport:
    return transport_for(settings.bus_url, f"{application.name}-worker")


def _worker(
    application: Application,
    settings: Settings,
    transport: Transport,
    database: Database,
    metrics: Metrics | None,
    spans: Spans | None,
) -> Worker:
    require_sealed = settings.services[application.name].require_sealed
    return Worker(
        application.service,
        transport,
        database,
        settings.limits,
        require_sealed=require_sealed,
        metrics=metrics,
        spans=spans,
    )


def _is_over(workers: Sequence[Worker], stopping: threading.Event) -> bool:
    return stopping.is_set() or any(worker.failure for worker in workers)


def _announce(
    applications: Sequence[Application], settings: Settings, on_ready: Ready, stopping: threading.Event
) -> None:
    deadline = time.monotonic() + START_SECONDS
    urls = [f"http://{settings.bind}:{settings.services[each.name].port}/health/ready" for each in applications]
    while not all(map(_answers, urls)):
        if stopping.wait(WATCH_SECONDS):
            return
        if time.monotonic() > deadline:
            log.error("not_ready", seconds=START_SECONDS)
            return
    if seed(applications, settings, stopping.is_set):
        on_ready()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310  # our own front end
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _check_ports(applications: Sequence[Application], settings: Settings) -> None:
    for application in applications:
        check_port(application.name, settings.bind, settings.services[application.name].port)


def _monitor(name: str, worker: Worker, metrics: Metrics | None, settings: Settings) -> Monitor | None:
    """Raises PortTaken."""
    port = settings.services[name].metrics_port
    if metrics is None or port is None:
        return None
    return Monitor(name, settings.bind, port, metrics, lambda: worker.why_not_live, lambda: worker.why_not_ready)


def _database(application: Application, settings: Settings) -> Database:
    url = settings.services[application.name].database_url
    return Database(url, connections=2 * application.service.threads)


def _wait_until_migrated(application: Application, database: Database, stopping: threading.Event) -> None:
    """Raises NotMigrated; waits for a database that is away, as the worker itself does later."""
    while not stopping.is_set():
        try:
            return check_migrated(database, application.migrations)
        except DatabaseUnavailable as away:
            log.warning("database_unavailable", service=application.name, reason=str(away)[:200])
            stopping.wait(WATCH_SECONDS)
    return None
