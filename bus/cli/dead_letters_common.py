"""What the commands of `bus dead-letters` share: their options, access to the dead letters, and the confirmation."""

import functools
import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from bus.cli.dead_letters_text import echo_lines, letters_table
from bus.cli.times import Time
from bus.contract.installed import named_services
from bus.database.engine import Database
from bus.dead_letters.admin import DeadLetterAdmin
from bus.dead_letters.queries import DeadLetterFilter
from bus.dead_letters.store import DeadLetterSummary
from bus.runtime.settings import Settings, read_settings

# The front end's port is a setting without which the others cannot be read; nothing listens on it here.
UNUSED_PORT = 1

SERVICE = click.argument("service")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
EVERYTHING = click.option("--all", "everything", is_flag=True, help="All dead letters, without a filter.")

_FILTERS = (
    click.option("--operation", default="", help="Only dead letters of this operation."),
    click.option("--error", default="", help="Only those with this reason, or this class of error."),
    click.option("--since", type=Time(), help="Only those since this time: ISO 8601, or an age such as 2h or 3d."),
    click.option("--id", "which", default="", help="Only those with this message id, or the one with this number."),
)


def limit_of(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option --limit."""
    number = click.IntRange(1, 100_000)
    return click.option("--limit", type=number, default=default, show_default=True, help="At most this many.")


def with_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that filter dead letters; it gets them as one `letter_filter`."""

    @functools.wraps(command)
    def filtered(*, operation: str, error: str, since: datetime | None, which: str, **options: Any) -> None:
        letter_filter = DeadLetterFilter(operation=operation, error=error, since=since, which=which)
        command(letter_filter=letter_filter, **options)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_FILTERS), filtered)


def require_filter(letter_filter: DeadLetterFilter, everything: bool) -> None:
    """Require an explicit filter or --all. Raises click.UsageError."""
    if letter_filter.is_everything and not everything:
        raise click.UsageError("Give a filter (--operation, --error, --since or --id), or --all.")


@contextmanager
def open_dead_letters(service: str) -> Iterator[tuple[DeadLetterAdmin, Settings]]:
    """Open the dead letters of a service to act on them.

    Raises click.UsageError, SettingsError, DatabaseUnavailable and NotMigrated.
    """
    # Imported here: importing a service and Alembic takes longer than to list dead letters, which needs neither.
    from bus.cli.common import application_and_settings, migrated_database
    from bus.telemetry.logs import configure_logs

    application, settings = application_and_settings(service)
    configure_logs("error")
    with migrated_database(application, settings) as database:
        yield DeadLetterAdmin(application.service.operations, database, _operator()), settings


@contextmanager
def read_dead_letters(service: str) -> Iterator[DeadLetterAdmin]:
    """Open the dead letters of a service to look at them, without importing the service.

    Raises click.UsageError, SettingsError, DatabaseUnavailable and NotMigrated.
    """
    names = installed_names()
    if service not in names:
        raise click.UsageError(f"There is no service {service!r}. Installed: {', '.join(names)}.")
    url = read_settings(os.environ, {service: UNUSED_PORT}).services[service].database_url
    database = Database(url)
    try:
        yield DeadLetterAdmin({}, database, _operator())
    except DBAPIError:
        with open_dead_letters(service):  # raises NotMigrated if that is why
            raise
    finally:
        database.close()


def installed_names() -> list[str]:
    """The names of all installed services."""
    return sorted(entry_point.name for entry_point in named_services())


def confirm(question: str, letters: Sequence[DeadLetterSummary], *, yes: bool, quiet: bool) -> None:
    """Show the dead letters, and ask for confirmation if standard input is a terminal. Raises click.Abort."""
    if not quiet:
        echo_lines(letters_table({"": letters}))
    if letters and not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def _operator() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
