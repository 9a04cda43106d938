"""The WSGI application of a front end process. granian imports it after it has forked."""

import atexit
import os

from bus import failpoints
from bus.client.client import Client
from bus.runtime import silent_connections
from bus.runtime.process import end_with_parent, switch_threads_soon
from bus.runtime.settings import read_settings
from bus.service.application import Wsgi, declared_by, installed_applications
from bus.telemetry.export import FLUSH_SECONDS, spans_from
from bus.telemetry.logs import configure_logs
from bus.telemetry.metrics import Metrics

SERVICE_VARIABLE = "BUS_WEB_SERVICE"
# Requests of one process that may wait for a reply. Fewer than its threads, so that one more is refused at once.
IN_FLIGHT = 64


def application() -> Wsgi:
    """The front end of the service in BUS_WEB_SERVICE, with its own connection to the broker."""
    failpoints.arm(os.environ)
    end_with_parent()
    applications = installed_applications()
    chosen = applications[os.environ[SERVICE_VARIABLE]]
    settings = read_settings(os.environ, *declared_by([chosen]))
    chosen.service.settings = settings.services[chosen.name].own
    configure_logs(settings.log_level, settings.log_format)
    switch_threads_soon()
    silent_connections.watch(settings.services[chosen.name].port)
    spans = spans_from(os.environ, f"{chosen.name}-web", settings.bus_url)
    client = Client(
        settings.bus_url, name=f"{chosen.name}-web", max_in_flight=IN_FLIGHT, metrics=Metrics(), spans=spans
    )
    if spans is not None:
        atexit.register(spans.close, FLUSH_SECONDS)
    atexit.register(client.close)  # called first
    return chosen.web(client)
