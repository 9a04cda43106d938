"""What the commands of `bus dead-letters` share: their options, a list of letters, and the confirmation."""

import functools
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import click

from bus.cli.dead_letters_text import echo_lines, letters_table
from bus.cli.operating import Operating
from bus.cli.times import Time
from bus.contract.operator.dead_letters import (
    MAX_LETTERS,
    MAX_LISTED,
    DeadLetterFilter,
    ListDeadLetters,
    ListedDeadLetter,
)

R = TypeVar("R")

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


def letters_of(
    services: Operating, service: str, letter_filter: DeadLetterFilter, limit: int
) -> list[ListedDeadLetter]:
    """The dead letters that match, at most `limit`, in the order they arrived."""
    found: list[ListedDeadLetter] = []
    while len(found) < limit:
        after, size = found[-1].id if found else 0, min(limit - len(found), MAX_LISTED)
        page = services.ask(service, ListDeadLetters, filter=letter_filter, after=after, limit=size).letters
        found += page
        if len(page) < size:
            break
    return found


def confirm(question: str, letters: Sequence[ListedDeadLetter], *, yes: bool, quiet: bool) -> None:
    """Show the dead letters, and ask for confirmation if standard input is a terminal. Raises click.Abort."""
    if not quiet:
        echo_lines(letters_table({"": letters}))
    if letters and not yes and sys.stdin.isatty():
        click.confirm(question, abort=True, err=True)
