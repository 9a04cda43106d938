"""Options that the commands of `bus dead-letters` share."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from bus.cli.common import Time
from bus.dead_letters.queries import DeadLetterFilter

_FILTERS = (
    click.option("--operation", default="", help="Only letters of this operation."),
    click.option("--error", default="", help="Only those that died of this: a reason, or the class of an error."),
    click.option("--since", type=Time(), help="Only those that died since: ISO 8601, or 2h, 3d before now."),
    click.option("--id", "which", default="", help="Only those with this message id, or the one with this number."),
)

SERVICE = click.argument("service")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")
EVERYTHING = click.option("--all", "everything", is_flag=True, help="All that are dead, without a filter.")


def limit_of(default: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option --limit."""
    number = click.IntRange(1, 100_000)
    return click.option("--limit", type=number, default=default, show_default=True, help="At most this many.")


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the filters; it gets them as one `choice`."""

    @functools.wraps(command)
    def chosen(*, operation: str, error: str, since: datetime | None, which: str, **options: Any) -> None:
        command(choice=DeadLetterFilter(operation=operation, error=error, since=since, which=which), **options)

    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(_FILTERS), chosen)
