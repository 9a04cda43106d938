"""What commands share: the installed services, their settings and databases."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from bus.cli.broker import reachable_broker_of
from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.contract.identity import ANONYMOUS
from bus.contract.operations import Operation
from bus.database.engine import Database
from bus.database.outbox import write
from bus.runtime.settings import Settings, configure, misspelling, read_settings
from bus.service.application import Application, declared_by, installed_applications
from bus.service.work import Work
from bus.telemetry.logs import configure_logs


def chosen_applications(names: Sequence[str]) -> list[Application]:
    """The services with these names, or all if there are no names. Raises click.UsageError."""
    applications = installed_applications()
    for name in names:
        if name not in applications:
            raise click.UsageError(f"There is no service {name!r}. Installed: {', '.join(applications)}.")
    return [applications[name] for name in names] if names else list(applications.values())


def settings_for(applications: Sequence[Application]) -> Settings:
    """The settings from the environment; warns of misspelt names on standard error. Raises SettingsError."""
    settings = read_settings(os.environ, *declared_by(applications))
    for names in settings.misspelt.items():
        click.echo(f"bus: {misspelling(names)}", err=True)
        del os.environ[names[0]]  # the processes that this one starts would only say it again
    return settings


def application_and_settings(service: str) -> tuple[Application, Settings]:
    """One service, and the settings for it. Raises click.UsageError and SettingsError."""
    (application,) = chosen_applications([service])
    return application, settings_for([application])


@contextmanager
def migrated_database(application: Application, settings: Settings) -> Iterator[Database]:
    """Open the database of a service, and close it at the end.

    Raises DatabaseUnavailable, NotMigrated and DatabaseKeyError.
    """
    # Here, because they import Alembic and the worker, which most commands do without.
    from bus.database.migrate import check_migrated
    from bus.runtime.running import naming_database

    name = application.name
    database = Database(settings.services[name].database_url, keys=settings.database_keys(name))
    try:
        with naming_database(name):
            check_migrated(database, application.migrations)
        yield database
    finally:
        database.close()


@contextmanager
def service_work(service: str) -> Iterator[Work]:
    """A transaction in the database of a service, for a command of its own; commits if the block ends without an error.

    Its events and what it sends are published by the workers. Raises DatabaseUnavailable and NotMigrated.
    """
    application, settings = _set_up(service)
    with migrated_database(application, settings) as database, database.transaction() as transaction:
        yield Work(transaction, ANONYMOUS, service, may_send=application.service.sends)
        if transaction.outgoing:
            write(transaction.connection, transaction.outgoing)


def service_settings(service: str) -> None:
    """Give a service its settings, for a command of its own that needs no broker. Raises SettingsError."""
    _set_up(service)


@contextmanager
def service_client(service: str) -> Iterator[Client]:
    """A client of the broker, for a command of a service that calls operations, on any machine with BUS_URL.

    Its calls are repeated with the same message id while no worker answers, for a minute. Raises click.UsageError for
    the embedded broker, BrokerUnreachable, and SettingsError.
    """
    _, settings = _set_up(service)
    url = reachable_broker_of(settings)
    configure_logs("error")
    with RetryingClient(url, name=f"bus-{service}") as client:
        yield client


def _set_up(service: str) -> tuple[Application, Settings]:
    application, settings = application_and_settings(service)
    configure(application.service, settings)
    return application, settings


def operations_of(applications: Iterable[Application]) -> dict[str, type[Operation[Any]]]:
    """All operations by name, including those that every service has."""
    return {
        name: operation for application in applications for name, operation in application.service.operations.items()
    }
