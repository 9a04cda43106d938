"""What commands have in common: the installed services and the settings for them."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import click

from bus.application import Application, installed_applications
from bus.operation import Operation
from bus.settings import Settings, read_settings


def chosen_applications(names: Sequence[str]) -> list[Application]:
    """The services of these names; all when none is named. Raises click.UsageError."""
    applications = installed_applications()
    for name in names:
        if name not in applications:
            raise click.UsageError(f"There is no service {name!r}. Installed: {', '.join(applications)}.")
    return [applications[name] for name in names] if names else list(applications.values())


def settings_for(applications: Iterable[Application]) -> Settings:
    """The settings from the environment. Raises SettingsError."""
    return read_settings(os.environ, {application.name: application.port for application in applications})


def operations_of(applications: Iterable[Application]) -> dict[str, type[Operation[Any]]]:
    """All operations by name, the ones every service has among them."""
    handlers = (handler for application in applications for handler in application.service.handlers.values())
    return {handler.operation.operation_name: handler.operation for handler in handlers}
