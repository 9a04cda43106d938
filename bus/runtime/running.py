"""Runs a worker process, or the front ends and workers of `bus run` as processes; `embedded.py` runs them in one."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import structlog

from bus.client.client import Client
from bus.database.engine import Database
from bus.database.migrate import check_migrated, migrate
from bus.database.trouble import DatabaseUnavailable
from bus.messaging.connect import transport_for
from bus.messaging.transport import Transport
from bus.runtime.local_http import ask
from bus.runtime.monitor import Monitor
from bus.runtime.ports import PortTaken, check_port
from bus.runtime.process import DRAIN_SECONDS, stop_on_signals
from bus.runtime.seeding import seed
from bus.runtime.servers import EventLoop
from bus.runtime.settings import Settings, configure
from bus.runtime.supervisor import Supervisor
from bus.security.operators import stored_token
from bus.service.application import Application
from bus.telemetry.export import FLUSH_SECONDS, spans_from
from bus.telemetry.metrics import Metrics
from bus.telemetry.spans import Spans
from bus.worker.worker import HandlerHung, Worker

# When a handler hangs and its process has to end: time for the other messages the worker is working on.
HUNG_SECONDS = 2.0
# Between two checks whether a worker has failed, a database is back, or a front end answers.
WATCH_SECONDS = 0.5
# A command waits this long for another transaction before others get their turn; see `bus.worker.execution`.
LOCK_SECONDS = 1.0
# Requests of one process that may wait for a reply. Each costs a little memory and no thread.
IN_FLIGHT = 5000
# The front ends should answer within this time; otherwise `bus run` logs an error, and waits on.
START_SECONDS = 60.0
# For the answer of a front end that is asked whether it is ready.
ASK_SECONDS = 2.0

log = structlog.get_logger("bus.running")

Ready = Callable[[], None]


def run_worker(application: Application, settings: Settings) -> None:
    """Run one worker until SIGTERM or SIGINT. Raises TransportFailure, NotMigrated and HandlerHung."""
    stopping = stop_on_signals()
    database = database_of(application, settings)
    _wait_until_migrated(application, database, stopping)
    transport = worker_transport_of(application, settings)
    metrics = Metrics() if settings.services[application.name].metrics_port else None
    spans = spans_from(os.environ, f"{application.name}-worker", settings.bus_url)
    worker = worker_of(application, settings, transport, database, metrics, spans)
    monitor = _monitor(application.name, worker, metrics, settings)
    worker.start()
    log.info("worker_started", service=application.name, broker=transport.describe(), database=database.kind)
    while not (worker.failure or stopping.wait(WATCH_SECONDS)):
        pass
    failure = worker.failure
    worker.stop(HUNG_SECONDS if isinstance(failure, HandlerHung) else DRAIN_SECONDS)
    if monitor is not None:
        monitor.close()
    if spans is not None:
        spans.close(FLUSH_SECONDS)
    database.close()
    if failure:
        raise failure
    log.info("worker_stopped", service=application.name, dropped_replies=transport.dropped_replies)


def run_web(application: Application, settings: Settings) -> bool:
    """Serve the front end of a service until SIGTERM or SIGINT.

    Returns whether all requests that it had taken were finished. Raises RuntimeError after a bug of the event loop.
    """
    stopping = stop_on_signals()
    name, port = f"{application.name}-web", settings.services[application.name].port
    configure(application.service, settings)
    event_loop = EventLoop(name)
    spans = spans_from(os.environ, name, settings.bus_url)
    transport = transport_for(settings.bus_url, name, event_loop.loop)
    client = Client(
        transport,
        name=name,
        max_in_flight=IN_FLIGHT,
        identities=settings.identities,
        metrics=Metrics(),
        spans=spans,
    )
    event_loop.serve(application.web(client), settings.bind, port, settings.trusted_proxies)
    while not (event_loop.failure or stopping.wait(WATCH_SECONDS)):
        pass
    has_finished = event_loop.close()
    client.close()
    if spans is not None:
        spans.close(FLUSH_SECONDS)
    event_loop.stop()
    if event_loop.failure:
        raise event_loop.failure
    return has_finished


def run_processes(
    applications: Sequence[Application], settings: Settings, on_ready: Ready, console_token: str = ""
) -> int:
    """Run front ends and workers as separate processes until SIGTERM or SIGINT; returns the exit code.

    With a `console_token` the console is one more process, which opens with it. Calls `on_ready` when the front ends
    can be used. Raises PortTaken and DatabaseUnavailable.
    """
    stopping = stop_on_signals()
    check_ports(applications, settings, with_console=bool(console_token))
    for application in applications:
        migrate_service(application, settings)
    commands = [(role, each.name) for each in applications for role in ("worker", "web")]
    environments: list[dict[str, str]] = [{} for _ in commands]
    if console_token:
        commands.append(("web", "console"))
        environments.append({"BUS_CONSOLE_TOKEN": console_token, "BUS_CONSOLE_TOKEN_FILE": ""})
    supervisor = Supervisor(commands, environments)
    supervisor.start()
    try:
        starter = threading.Thread(target=_announce, args=(applications, settings, on_ready, stopping), daemon=True)
        starter.start()
        return supervisor.watch(stopping)
    finally:
        supervisor.stop()


def migrate_service(application: Application, settings: Settings) -> str:
    """Migrate the database of a service; returns its revision. Raises DatabaseUnavailable and DatabaseKeyError."""
    name = application.name
    database = Database(settings.services[name].database_url, keys=settings.database_keys(name))
    try:
        with naming_database(name):
            return migrate(database, application.migrations)
    finally:
        database.close()


@contextmanager
def naming_database(name: str) -> Iterator[None]:
    """In the block, an error says with which setting of the service the database is found that cannot be used."""
    try:
        yield
    except DatabaseUnavailable as away:
        away.args = (f"{name.upper()}_DATABASE_URL: {away}",)
        raise


def worker_transport_of(application: Application, settings: Settings) -> Transport:
    """A connection to the broker for a worker of a service, not open yet."""
    return transport_for(settings.bus_url, f"{application.name}-worker")


def worker_of(
    application: Application,
    settings: Settings,
    transport: Transport,
    database: Database,
    metrics: Metrics | None,
    spans: Spans | None,
) -> Worker:
    """A worker of a service with its settings, not started yet."""
    require_sealed = settings.services[application.name].require_sealed
    configure(application.service, settings)
    if application.service.takes_secrets and not require_sealed and not settings.is_embedded:
        remedy = f"Set {application.name.upper()}_REQUIRE_SEALED=1 when all publishers seal."
        log.warning("unsealed_secrets_accepted", service=application.name, remedy=remedy)
    return Worker(
        application.service,
        transport,
        database,
        settings.limits,
        connect=partial(
            Client,
            settings.bus_url,
            name=f"{application.name}-worker-calls",
            identities=settings.identities,
            metrics=metrics,
            spans=spans,
        ),
        require_sealed=require_sealed,
        operator_token=settings.operator_token or stored_token(settings.data_dir, make=True),
        metrics=metrics,
        spans=spans,
    )


def database_of(application: Application, settings: Settings) -> Database:
    """The database of a service, with connections for all threads of a worker."""
    url = settings.services[application.name].database_url
    connections, keys = 4 + application.service.threads, settings.database_keys(application.name)
    return Database(url, connections, LOCK_SECONDS, keys=keys)


def check_ports(applications: Sequence[Application], settings: Settings, *, with_console: bool) -> None:
    """Raises PortTaken when the port of a front end is in use, or the console's is one of them."""
    ports = {each.name: settings.services[each.name].port for each in applications}
    if with_console:
        for name in [name for name, port in ports.items() if port == settings.console_port]:
            raise PortTaken(f"CONSOLE_PORT and {name.upper()}_PORT are equal: set them to different values.")
        ports["console"] = settings.console_port
    for name, port in ports.items():
        check_port(name, settings.bind, port)


def _announce(
    applications: Sequence[Application], settings: Settings, on_ready: Ready, stopping: threading.Event
) -> None:
    """However late what they need is there, such as the broker."""
    deadline, is_late = time.monotonic() + START_SECONDS, False
    ports = [settings.services[each.name].port for each in applications]
    while not all(ask(settings.bind, port, "/health/ready", ASK_SECONDS)[0] == 200 for port in ports):
        if stopping.wait(WATCH_SECONDS):
            return
        if not is_late and time.monotonic() > deadline:
            log.error("not_ready", seconds=START_SECONDS)
            is_late = True
    if seed(applications, settings, stopping.is_set):
        on_ready()


def _monitor(name: str, worker: Worker, metrics: Metrics | None, settings: Settings) -> Monitor | None:
    """Raises PortTaken."""
    port = settings.services[name].metrics_port
    if metrics is None or port is None:
        return None
    return Monitor(name, settings.bind, port, metrics, lambda: worker.why_not_live, lambda: worker.why_not_ready)


def _wait_until_migrated(application: Application, database: Database, stopping: threading.Event) -> None:
    """Wait while the database is unavailable, as the worker itself does later. Raises NotMigrated."""
    while not stopping.is_set():
        try:
            return check_migrated(database, application.migrations)
        except DatabaseUnavailable as away:
            setting = f"{application.name.upper()}_DATABASE_URL"
            log.warning("database_unavailable", service=application.name, setting=setting, reason=str(away)[:200])
            stopping.wait(WATCH_SECONDS)
    return None
