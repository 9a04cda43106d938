"""`bus dead-letters`."""

import click
from msgspec import structs

from bus.cli import dead_letters_text
from bus.cli.common import MAY_BEGIN_WITH_A_DASH
from bus.cli.dead_letters_desk import ask, check_chosen, desk_of
from bus.cli.dead_letters_options import AS_JSON, DRY_RUN, EVERYTHING, SERVICE, YES, choosing, limit_of
from bus.cli.dead_letters_replay import replay
from bus.dead_letters.actions import actions as actions_of
from bus.dead_letters.queries import MAX_LETTERS, DeadLetterFilter, each, grouped, newest
from bus.dead_letters.store import CHOSEN, DEAD, DISCARDED, REPLAYED

_STATES = click.Choice([DEAD, CHOSEN, REPLAYED, DISCARDED, "any"])


@click.group("dead-letters")
def dead_letters() -> None:
    """See what was set aside, send it again, or decide that it shall not be done."""


dead_letters.add_command(replay)


@dead_letters.command("list")
@SERVICE
@choosing
@click.option("--state", type=_STATES, default=DEAD, show_default=True, help="Only letters in this state.")
@click.option("--each", "one_by_one", is_flag=True, help="One line for each letter.")
@limit_of(100)
@AS_JSON
def list_letters(
    service: str, choice: DeadLetterFilter, state: str, one_by_one: bool, limit: int, as_json: bool
) -> None:
    """Count the dead letters of SERVICE by operation and cause. Times are UTC."""
    choice = structs.replace(choice, state="" if state == "any" else state)
    with desk_of(service) as desk, desk.database.reading() as transaction:
        letters = each(transaction.connection, choice, limit) if one_by_one else []
        groups = [] if one_by_one else grouped(transaction.connection, choice, limit)
    found = letters or groups
    if as_json:
        click.echo(dead_letters_text.in_json(found))
        return
    table = dead_letters_text.letters_table(letters) if one_by_one else dead_letters_text.groups_table(groups)
    dead_letters_text.echo_lines(table if found else ["No letters."])
    if len(found) == limit:
        click.echo(f"There may be more than these {limit}: --limit shows them.", err=True)


@dead_letters.command(context_settings=MAY_BEGIN_WITH_A_DASH)
@SERVICE
@click.argument("letter")
@AS_JSON
def show(service: str, letter: str, as_json: bool) -> None:
    """Show everything about LETTER: a number, or a message id, of which the newest letter is shown."""
    with desk_of(service) as desk, desk.database.reading() as transaction:
        found = newest(transaction.connection, letter)
    if found is None:
        raise click.UsageError(f"There is no letter {letter!r}.")
    click.echo(
        dead_letters_text.in_json(dead_letters_text.letter_json(found))
        if as_json
        else dead_letters_text.letter_text(found)
    )


@dead_letters.command()
@SERVICE
@choosing
@click.option("--state", type=click.Choice([DEAD, CHOSEN]), default=DEAD, show_default=True, help="In this state.")
@limit_of(MAX_LETTERS)
@EVERYTHING
@DRY_RUN
@YES
@AS_JSON
def discard(
    service: str,
    choice: DeadLetterFilter,
    state: str,
    limit: int,
    everything: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Decide that letters of SERVICE shall not be done. They stay in the table, and who asks is told.

    With --state chosen: those that an interrupted replay has left.
    """
    check_chosen(choice, everything)
    with desk_of(service) as desk:
        letters = desk.letters(structs.replace(choice, state=state), limit)
        ask(f"Discard {len(letters)} letters?", letters, yes=yes or dry_run, quiet=as_json)
        action = desk.begin("discard", choice, letters) if letters and not dry_run else None
    if as_json:
        click.echo(dead_letters_text.in_json({"action": action, "discarded": 0 if dry_run else len(letters)}))
    else:
        click.echo(f"{'Would discard' if dry_run else 'Discarded'} {len(letters)}.")


@dead_letters.command()
@SERVICE
@limit_of(100)
@AS_JSON
def actions(service: str, limit: int, as_json: bool) -> None:
    """List who did what with the dead letters of SERVICE, and how many they were."""
    with desk_of(service) as desk, desk.database.reading() as transaction:
        found = actions_of(transaction.connection, limit)
    if as_json:
        click.echo(dead_letters_text.in_json(found))
    else:
        dead_letters_text.echo_lines(dead_letters_text.actions_table(found) if found else ["No actions."])
