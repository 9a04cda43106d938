"""`bus run` on the embedded broker: workers and front ends in one process."""

import os
import threading
from collections.abc import Sequence
from functools import partial

from bus.client.client import Client
from bus.database.migrate import migrate
from bus.runtime.process import DRAIN_SECONDS, stop_on_signals
from bus.runtime.running import (
    HUNG_SECONDS,
    WATCH_SECONDS,
    Ready,
    check_ports,
    database_of,
    worker_of,
    worker_transport_of,
)
from bus.runtime.seeding import seed
from bus.runtime.servers import EMBEDDED_IN_FLIGHT, EmbeddedServer
from bus.runtime.settings import Settings
from bus.service.application import Application
from bus.telemetry.export import FLUSH_SECONDS, spans_from
from bus.telemetry.metrics import Metrics
from bus.worker.worker import HandlerHung, Worker


def run_embedded(applications: Sequence[Application], settings: Settings, on_ready: Ready) -> None:
    """Run everything in this process until SIGTERM or SIGINT; calls `on_ready` when the front ends can be used.

    Raises PortTaken and DatabaseUnavailable, and the error of a worker that failed.
    """
    stopping = stop_on_signals()
    check_ports(applications, settings)
    databases = [database_of(application, settings) for application in applications]
    for application, database in zip(applications, databases, strict=True):
        migrate(database, application.migrations)
    metrics, spans = Metrics(), spans_from(os.environ, "errand", settings.bus_url)
    workers = [
        worker_of(application, settings, worker_transport_of(application, settings), database, metrics, spans)
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


def _is_over(workers: Sequence[Worker], stopping: threading.Event) -> bool:
    return stopping.is_set() or any(worker.failure for worker in workers)
