"""`bus run`, `web`, `worker` and `migrate`."""

import os
import shlex
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from bus.cli.broker import broker_of
from bus.cli.common import application_and_settings, chosen_applications, settings_for
from bus.parent import SUPERVISOR, end_with_supervisor, stop_with_supervisor
from bus.runtime.console import CONSOLE, console_url, new_token, run_console
from bus.runtime.embedded import run_embedded
from bus.runtime.local_http import base_url
from bus.runtime.ports import check_port
from bus.runtime.process import end_now, ignore_signals, stop_on_signals
from bus.runtime.running import migrate_service, run_processes, run_web, run_worker
from bus.runtime.settings import Settings
from bus.runtime.supervisor import Supervisor
from bus.service.application import Application, installed_applications
from bus.telemetry.logs import configure_logs

PROCESSES = click.IntRange(1, 64)


@click.command()
@click.argument("services", nargs=-1)
@click.option("--console", "with_console", is_flag=True, help="Run the console too.")
def run(services: Sequence[str], with_console: bool) -> None:
    """Run the front ends and workers of SERVICES, or of all services.

    Without BUS_URL everything runs in one process, with an embedded broker.
    """
    stop_with_supervisor(os.environ)  # of `make`, which nothing starts again
    applications = chosen_applications(services)
    settings = settings_for(applications)
    configure_logs(settings.log_level, settings.log_format)

    console_token = new_token(settings) if with_console else ""

    def on_ready() -> None:
        _say(_banner(applications, settings, console_token))

    has_ended = True
    if settings.is_embedded:
        has_ended = run_embedded(applications, settings, on_ready, console_token)
    elif code := run_processes(applications, settings, on_ready, console_token):
        sys.exit(code)
    ignore_signals()
    _say("Stopped.")
    if not has_ended:
        end_now(0)


@click.command()
@click.argument("service")
@click.option("--processes", type=PROCESSES, default=1, show_default=True, help="Number of processes, on one port.")
def web(service: str, processes: int) -> None:
    """Run the HTTP front end of SERVICE. `bus web console` runs the console for operators."""
    end_with_supervisor(os.environ)
    if service == CONSOLE:
        _console()
        return
    application, settings = application_and_settings(service)
    broker_of(settings)
    configure_logs(settings.log_level, settings.log_format)
    if SUPERVISOR not in os.environ:  # which has looked; several processes of a front end share their port
        check_port(service, settings.bind, settings.services[service].port)
    if processes > 1:
        _supervise(Supervisor([("web", service)] * processes))
    elif not run_web(application, settings):
        end_now(0)


def _console() -> None:
    applications = installed_applications()
    settings = settings_for(list(applications.values()))
    broker_of(settings)
    configure_logs(settings.log_level, settings.log_format)
    if SUPERVISOR not in os.environ:
        check_port(CONSOLE, settings.bind, settings.console_port)
    token = new_token(settings)

    def on_ready() -> None:
        if SUPERVISOR not in os.environ:  # which prints the URL itself
            _say(f"Console   {console_url(applications, settings, token)}")

    if not run_console(applications, settings, token, on_ready):
        end_now(0)


@click.command()
@click.argument("service")
@click.option("--processes", type=PROCESSES, default=1, show_default=True, help="Number of worker processes.")
def worker(service: str, processes: int) -> None:
    """Run workers of SERVICE."""
    end_with_supervisor(os.environ)
    application, settings = application_and_settings(service)
    broker_of(settings)
    configure_logs(settings.log_level, settings.log_format)
    if processes == 1:
        run_worker(application, settings)
        return
    first_port = settings.services[service].metrics_port
    name = f"{service.upper()}_METRICS_PORT"
    ports = [{name: str(first_port + number), f"{name}_FILE": ""} if first_port else {} for number in range(processes)]
    _supervise(Supervisor([("worker", service)] * processes, ports))


def _supervise(supervisor: Supervisor) -> NoReturn:
    """Run these processes until SIGTERM or SIGINT, and exit."""
    stopping: threading.Event = stop_on_signals()
    supervisor.start()
    try:
        sys.exit(supervisor.watch(stopping))
    finally:
        supervisor.stop()


@click.command()
@click.argument("services", nargs=-1)
def migrate(services: Sequence[str]) -> None:
    """Migrate the databases of SERVICES, or of all services, to the latest revision."""
    applications = chosen_applications(services)
    settings = settings_for(applications)
    for application in applications:
        revision = migrate_service(application, settings)
        click.echo(f"{application.name}: at revision {revision}")


def _say(text: str) -> None:
    """Print. Where that fails, as on a full disk or to a reader that has gone, the system works on without a word."""
    try:
        click.echo(text)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # also for what is buffered, and would fail again at the end
        os.close(nowhere)


def _banner(applications: Sequence[Application], settings: Settings, console_token: str) -> str:
    urls = {each.name: base_url(settings.bind, settings.services[each.name].port) for each in applications}
    lines = [f"{name:<10}{url}" for name, url in urls.items()]
    if console_token:
        by_name = {each.name: each for each in applications}
        lines.append(f"{CONSOLE:<10}{console_url(by_name, settings, console_token)}")
    if "auth" in urls:
        body = '{"username": "ada", "email": "ada@example.org", "password": "correct horse battery staple"}'
        lines.append(f"try       curl -H 'Content-Type: application/json' -d '{body}' {urls['auth']}/register")
    if activate := activation(Path(sys.prefix), os.get_exec_path(), Path.cwd()):
        lines.append(f"{'bus':<10}{activate} makes the command available in another terminal")
    return "\n".join(["", _what_it_runs_on(settings), *lines, "Ctrl-C stops it.", ""])


def activation(environment: Path, search_path: Sequence[str], here: Path) -> str:
    """The shell command that activates a virtual environment; empty if it is active, or if it is not a virtual one."""
    script = environment / "bin" / "activate"
    if not script.is_file() or str(script.parent) in search_path:
        return ""
    return f". {shlex.quote(str(script.relative_to(here) if script.is_relative_to(here) else script))}"


def _what_it_runs_on(settings: Settings) -> str:
    broker = "RabbitMQ: queued messages survive a restart"
    if settings.is_embedded:
        broker = "the embedded broker: messages still queued are lost when this process ends"
    kinds = {service.database_url.partition(":")[0].partition("+")[0] for service in settings.services.values()}
    names = " and ".join({"sqlite": "SQLite", "postgresql": "PostgreSQL"}[kind] for kind in sorted(kinds))
    return f"Runs on {broker}. Data is stored in {names}."
