"""What commands have in common: the installed services and the settings for them."""

import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from bus.contract.operations import Operation
from bus.contract.problems import Problem
from bus.runtime.settings import Settings, read_settings
from bus.service.application import Application, installed_applications


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


def broker_of(settings: Settings) -> str:
    """The URL of a broker that other processes reach too. Raises click.UsageError."""
    if settings.bus_url.startswith("memory://"):
        raise click.UsageError("The embedded broker lives inside `bus run`. Set BUS_URL to an amqp:// URL.")
    return settings.bus_url


def operations_of(applications: Iterable[Application]) -> dict[str, type[Operation[Any]]]:
    """All operations by name, the ones every service has among them."""
    return {
        name: operation for application in applications for name, operation in application.service.operations.items()
    }


def in_words(problem: Problem) -> str:
    """What is wrong with fields that were given on the command line."""
    faults = [f"{fault.pointer[1:]}: {fault.detail}" for fault in problem.errors]
    return "\n".join(faults) or f"{problem.title}. {problem.detail}"


# For a command with such an argument and without short options, so also without -h: an option would be
# found in the midst of an identifier.
MAY_BEGIN_WITH_A_DASH = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Time(click.ParamType[datetime]):
    """ISO 8601, in UTC unless it says otherwise; or how long ago, in seconds, minutes, hours or days: `90s`, `2h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment, in UTC. Raises click.BadParameter."""
        try:
            return time_of(value, datetime.now(UTC))
        except ValueError:
            self.fail(f"{value!r} is no time: give one such as 2026-11-25T08:00 (UTC) or 2h, 3d (ago).", param, ctx)


def time_of(text: str, now: datetime) -> datetime:
    """The moment a text means, in UTC. Raises ValueError."""
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("beyond the calendar") from None
