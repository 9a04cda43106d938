"""`bus run` on the embedded broker: workers and front ends in one process."""

import os
import threading
from collections.abc import Sequence
from functools import partial

from bus.client.client import Client
from bus.console.console import Console
from bus.database.migrate import migrate
from bus.runtime.console import serve_console
from bus.runtime.process import DRAIN_SECONDS, stop_on_signals
from bus.runtime.running import (
    HUNG_SECONDS,
    IN_FLIGHT,
    WATCH_SECONDS,
    Ready,
    check_ports,
    database_of,
    naming_database,
    worker_of,
    worker_transport_of,
)
from bus.runtime.seeding import seed
from bus.runtime.servers import EventLoop
from bus.runtime.settings import Settings
from bus.service.application import Application
from bus.telemetry.export import FLUSH_SECONDS, spans_from
from bus.telemetry.metrics import Metrics
from bus.worker.worker import HandlerHung, Worker


def run_embedded(
    applications: Sequence[Application], settings: Settings, on_ready: Ready, console_token: str = ""
) -> bool:
    """Run everything in this process until SIGTERM or SIGINT; calls `on_ready` when the front ends can be used.

    With a `console_token` the console is served too, which opens with it. Returns whether all requests that were taken
    are finished. Raises PortTaken and DatabaseUnavailable, and the error of a worker that failed.
    """
    stopping = stop_on_signals()
    check_ports(applications, settings, with_console=bool(console_token))
    databases = [database_of(application, settings) for application in applications]
    for application, database in zip(applications, databases, strict=True):
        with naming_database(application.name):
            migrate(database, application.migrations)
    metrics, spans = Metrics(), spans_from(os.environ, "errand", settings.bus_url)
    workers = [
        worker_of(application, settings, worker_transport_of(application, settings), database, metrics, spans)
        for application, database in zip(applications, databases, strict=True)
    ]

    for worker in workers:
        worker.start()
    client = Client(settings.bus_url, name="web", max_in_flight=IN_FLIGHT, metrics=metrics, spans=spans)
    event_loop = EventLoop("web")
    console = _serve(event_loop, client, applications, settings, console_token)
    is_over = partial(_is_over, workers, event_loop, stopping)
    if seed(applications, settings, is_over, spans):
        on_ready()
    while not (is_over() or stopping.wait(WATCH_SECONDS)):
        pass
    failures = [*(worker.failure for worker in workers), event_loop.failure]
    failure = next((each for each in failures if each is not None), None)
    if console is not None:
        console.stop()
    has_finished = event_loop.close()
    for worker in workers:
        worker.stop(HUNG_SECONDS if isinstance(failure, HandlerHung) else DRAIN_SECONDS)
    client.close()
    event_loop.stop()
    if spans is not None:
        spans.close(FLUSH_SECONDS)
    for database in databases:
        database.close()
    if failure is not None:
        raise failure
    return has_finished


def _serve(
    event_loop: EventLoop, client: Client, applications: Sequence[Application], settings: Settings, console_token: str
) -> Console | None:
    """Serve the front ends, and the console if it has a token."""
    for each in applications:
        port = settings.services[each.name].port
        event_loop.serve(each.web(client), settings.bind, port, settings.trusted_proxies)
    if not console_token:
        return None
    return serve_console(event_loop, client, {each.name: each for each in applications}, settings, console_token)


def _is_over(workers: Sequence[Worker], event_loop: EventLoop, stopping: threading.Event) -> bool:
    return stopping.is_set() or bool(event_loop.failure) or any(worker.failure for worker in workers)
