"""What the commands of `bus dead-letters` share: their options, the service that they ask, and the confirmation."""

import functools
import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

import click

from bus.cli.broker import in_words, reachable_broker_of
from bus.cli.dead_letters_text import echo_lines, letters_table
from bus.cli.times import Time
from bus.client.client import ANSWER_SECONDS, Client
from bus.client.dead_letter_replay import TAKE_SECONDS
from bus.contract.installed import named_services
from bus.contract.operations import Operation
from bus.contract.operator import (
    MAX_LETTERS,
    MAX_LISTED,
    DeadLetterFilter,
    ListDeadLetters,
    ListedDeadLetter,
    TakeDeadLetters,
    operator_operations,
)
from bus.contract.problems import Invalid
from bus.contract.refusals import Refusal, Refused
from bus.runtime.settings import Settings, read_settings
from bus.security.operators import Operator, stored_token
from bus.telemetry.logs import configure_logs

R = TypeVar("R")

SERVICE = click.argument("service")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
YES = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
EVERYTHING = click.option("--all", "everything", is_flag=True, help="All dead letters, without a filter.")
REASON = click.option("--reason", default="", help="Why; it is recorded with the action.")

_FILTERS = (
    click.option("--operation", default="", help="Only dead letters of this operation."),
    click.option("--error", default="", help="Only those with this reason, or this class of error."),
    click.option("--since", type=Time(), help="Only those since this time: ISO 8601, or an age such as 2h or 3d."),
    click.option("--id", "which", default="", help="Only those with this message id, or the one with this number."),
)


def limit_of(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option --limit."""
    number = click.IntRange(1, MAX_LETTERS)
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


class Operating:
    """Calls the operator's operations of services, for the person who runs this command."""

    def __init__(self, client: Client, operator: Operator) -> None:
        self.client, self.operator = client, operator

    def ask(self, service: str, operation: type[Operation[Any]], **fields: Any) -> Any:
        """The reply to an operation of `bus.contract.operator`. Raises click.UsageError for a refusal."""
        request = operator_operations(service)[operation](**fields)
        seconds = TAKE_SECONDS if operation is TakeDeadLetters else ANSWER_SECONDS
        try:
            return self.client.call(request, timeout=seconds, token=self.operator)
        except (Refusal, Refused, Invalid) as refused:
            raise click.UsageError(in_words(refused.problem)) from None

    def letters(self, service: str, letter_filter: DeadLetterFilter, limit: int) -> list[ListedDeadLetter]:
        """The dead letters that match, at most `limit`, in the order they arrived."""
        found: list[ListedDeadLetter] = []
        while len(found) < limit:
            after, size = found[-1].id if found else 0, min(limit - len(found), MAX_LISTED)
            page = self.ask(service, ListDeadLetters, filter=letter_filter, after=after, limit=size).letters
            found += page
            if len(page) < size:
                break
        return found


@contextmanager
def operating(service: str | None = None) -> Iterator[Operating]:
    """Ask services as an operator, on any machine with BUS_URL and the operator token; `service` must be installed.

    Raises click.UsageError, SettingsError and BrokerUnreachable.
    """
    names = installed_names()
    if service is not None and service not in names:
        raise click.UsageError(f"There is no service {service!r}. Installed: {', '.join(names)}.")
    settings = read_settings(os.environ, {})
    url, operator = reachable_broker_of(settings), Operator(_person(), operator_token_of(settings))
    configure_logs("error")
    with Client(url, name="bus-dead-letters", identities=settings.identities) as client:
        yield Operating(client, operator)


def operator_token_of(settings: Settings) -> str:
    """The operator token of this installation. Raises click.UsageError."""
    token = settings.operator_token or stored_token(settings.data_dir, make=False)
    if not token:
        raise click.UsageError(
            f"There is no operator token. Set BUS_OPERATOR_TOKEN to that of the workers, or DATA_DIR to their folder; "
            f"{settings.data_dir} has none."
        )
    return token


def installed_names() -> list[str]:
    """The names of all installed services."""
    return sorted(entry_point.name for entry_point in named_services())


def confirm(question: str, letters: Sequence[ListedDeadLetter], *, yes: bool, quiet: bool) -> None:
    """Show the dead letters, and ask for confirmation if standard input is a terminal. Raises click.Abort."""
    if not quiet:
        echo_lines(letters_table({"": letters}))
    if letters and not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)


def _person() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in containers
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
