"""The WSGI application of a front end process. The server imports it after it has forked."""

import atexit
import os

from bus.application import Wsgi, installed_applications
from bus.client import Client
from bus.logs import configure_logs
from bus.settings import read_settings
from bus.switching import switch_threads_soon

SERVICE_VARIABLE = "BUS_WEB_SERVICE"


def application() -> Wsgi:
    """The front end that the environment asks for, with its own connection to the broker."""
    applications = installed_applications()
    chosen = applications[os.environ[SERVICE_VARIABLE]]
    settings = read_settings(os.environ, {chosen.name: chosen.port})
    configure_logs(settings.log_level)
    switch_threads_soon()
    client = Client(settings.bus_url, name=f"{chosen.name}-web")
    atexit.register(client.close)
    return chosen.web(client)
