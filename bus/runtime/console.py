"""Serves the console: as a process of its own, or beside the front ends of `bus run`."""

import secrets
from collections.abc import Mapping

from bus.client.client import Client
from bus.console.access import Access
from bus.console.application import LONG_FORM_BYTES, console_application
from bus.console.console import Console, Known
from bus.contract.events import events_in
from bus.contract.identity import TOKEN_SERVICE
from bus.contract.operator.state import QueueInState
from bus.messaging.connect import transport_for
from bus.runtime.local_http import base_url
from bus.runtime.process import stop_on_signals
from bus.runtime.running import IN_FLIGHT, WATCH_SECONDS, Ready
from bus.runtime.servers import EventLoop
from bus.runtime.settings import Settings
from bus.security.operators import stored_token
from bus.service.application import Application

# The name that `bus web` and its settings know the console by.
CONSOLE = "console"
TOKEN_BYTES = 24
LOOPBACK = ("127.0.0.1", "::1")


def run_console(applications: Mapping[str, Application], settings: Settings, token: str, on_ready: Ready) -> bool:
    """Serve the console until SIGTERM or SIGINT; returns whether all requests that it had taken were finished.

    Raises RuntimeError after a bug of the event loop.
    """
    stopping = stop_on_signals()
    event_loop = EventLoop(CONSOLE)
    transport = transport_for(settings.bus_url, CONSOLE, event_loop.loop)
    client = Client(transport, name=CONSOLE, max_in_flight=IN_FLIGHT, identities=settings.identities)
    console = serve_console(event_loop, client, applications, settings, token)
    on_ready()
    while not (event_loop.failure or stopping.wait(WATCH_SECONDS)):
        pass
    console.stop()
    has_finished = event_loop.close()
    client.close()
    event_loop.stop()
    if event_loop.failure:
        raise event_loop.failure
    return has_finished


def serve_console(
    event_loop: EventLoop, client: Client, applications: Mapping[str, Application], settings: Settings, token: str
) -> Console:
    """Serve the console on a loop that others may use too; `token` opens it. Stop it before the loop."""
    known = {
        name: Known(
            queues=[
                QueueInState(name=queue.name, kind=queue.kind, bound=queue.bound)
                for queue in application.service.queues(settings.limits)
            ],
            operations=application.service.operations,
            events={event.operation_name: event for event in events_in(application.contract)},
        )
        for name, application in applications.items()
    }
    access = Access(client, token, with_accounts=TOKEN_SERVICE in applications)
    operator_token = settings.operator_token or stored_token(settings.data_dir, make=True)
    console = Console(client, settings.bus_url, operator_token, access, known)
    console.start()
    app, proxies = console_application(console), settings.trusted_proxies
    event_loop.serve(app, settings.bind, settings.console_port, proxies, max_body_bytes=LONG_FORM_BYTES)
    return console


def new_token(settings: Settings) -> str:
    """The token that opens the console: the one that is set, or a new one."""
    return settings.console_token or secrets.token_urlsafe(TOKEN_BYTES)


def console_url(applications: Mapping[str, Application], settings: Settings, token: str) -> str:
    """The URL to open; with the token where it is needed, or where only this machine can reach the console."""
    url = base_url(settings.bind, settings.console_port)
    needs_token = TOKEN_SERVICE not in applications or settings.bind in LOOPBACK
    return f"{url}/?token={token}" if needs_token and not settings.console_token else url
