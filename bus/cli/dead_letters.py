"""`bus dead-letters`: list, show, discard and actions; `dead_letters_replay.py` has replay."""

import click
from msgspec import structs

from bus.cli import dead_letters_text
from bus.cli.dead_letters_common import (
    DRY_RUN,
    EVERYTHING,
    YES,
    confirm,
    letters_of,
    limit_of,
    require_filter,
    with_filter,
)
from bus.cli.groups import MAY_BEGIN_WITH_A_DASH, SentenceGroup
from bus.cli.operating import AS_JSON, REASON, SERVICE, installed_names, operating
from bus.contract.operator.actions import ListActions
from bus.contract.operator.dead_letters import (
    MAX_LETTERS,
    DeadLetterFilter,
    DeadLetterGroup,
    GetDeadLetter,
    GroupDeadLetters,
    ListedDeadLetter,
    TakeDeadLetters,
)

_OPEN_STATES = click.Choice(["dead", "chosen"])
_STATES = click.Choice(["dead", "chosen", "replayed", "discarded", "any"])


class _Commands(SentenceGroup):
    """Has `replay` too, which is imported when it is run: it may need a service's contract, the others do not."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), "replay"])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "replay":
            return super().get_command(ctx, cmd_name)
        from bus.cli.dead_letters_replay import replay

        return replay


@click.group("dead-letters", cls=_Commands)
def dead_letters() -> None:
    """Inspect dead letters, send them again, or discard them."""


@dead_letters.command("list")
@click.argument("service", required=False)
@with_filter
@click.option("--state", type=_STATES, default="dead", show_default=True, help="Only dead letters in this state.")
@click.option("--each", "one_by_one", is_flag=True, help="One line for each dead letter.")
@limit_of(100)
@AS_JSON
def list_letters(
    service: str | None, letter_filter: DeadLetterFilter, state: str, one_by_one: bool, limit: int, as_json: bool
) -> None:
    """Count the dead letters of SERVICE, or of all services, by operation and cause. Times are UTC."""
    letter_filter = structs.replace(letter_filter, state="" if state == "any" else state)
    letters: dict[str, list[ListedDeadLetter]] = {}
    groups: dict[str, list[DeadLetterGroup]] = {}
    with operating(service) as services:
        for name in [service] if service else installed_names():
            if one_by_one:
                letters[name] = letters_of(services, name, letter_filter, limit)
            else:
                groups[name] = services.ask(name, GroupDeadLetters, filter=letter_filter, limit=limit).groups
    found = letters or groups
    if as_json:
        lines = [{"service": name, **structs.asdict(each)} for name, some in found.items() for each in some]
        click.echo(dead_letters_text.in_json(lines))
        return
    if one_by_one:
        table = dead_letters_text.letters_table(letters, with_service=service is None, with_state=state == "any")
    else:
        table = dead_letters_text.groups_table(groups, with_service=service is None)
    dead_letters_text.echo_lines(table if any(found.values()) else ["No dead letters."])
    if any(len(some) == limit for some in found.values()):
        click.echo(f"There may be more than these {limit}. Raise --limit to see them.", err=True)


@dead_letters.command(context_settings=MAY_BEGIN_WITH_A_DASH)
@SERVICE
@click.argument("letter")
@AS_JSON
def show(service: str, letter: str, as_json: bool) -> None:
    """Show one dead letter in full. LETTER is its number or its message id; of several, the newest is shown."""
    with operating(service) as services:
        found = services.ask(service, GetDeadLetter, which=letter)
    click.echo(
        dead_letters_text.in_json(dead_letters_text.letter_json(found))
        if as_json
        else dead_letters_text.letter_text(found)
    )


@dead_letters.command()
@SERVICE
@with_filter
@click.option(
    "--state", type=click.Choice(["dead", "chosen"]), default="dead", show_default=True, help="In this state."
)
@limit_of(MAX_LETTERS)
@EVERYTHING
@REASON
@DRY_RUN
@YES
@AS_JSON
def discard(
    service: str,
    letter_filter: DeadLetterFilter,
    state: str,
    limit: int,
    everything: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Decide that dead letters of SERVICE will not be carried out. They stay in the table.

    Callers that ask for the outcome of such a command get the state `dead` with `discarded`. --state chosen discards
    what an interrupted replay has left.
    """
    require_filter(letter_filter, everything)
    chosen = structs.replace(letter_filter, state=state)
    action, count = None, 0
    with operating(service) as services:
        letters = letters_of(services, service, chosen, limit)
        confirm(f"Discard {len(letters)} dead letters?", letters, yes=yes or dry_run, quiet=as_json)
        if letters and not dry_run:
            frozen = structs.replace(chosen, up_to=letters[-1].id)
            taken = services.ask(service, TakeDeadLetters, kind="discard", filter=frozen, limit=limit, reason=reason)
            action, count = taken.action, taken.letters
    if as_json:
        would = {"would_discard": len(letters), "letters": letters} if dry_run else {}
        click.echo(dead_letters_text.in_json({"action": action, "discarded": count, **would}))
    else:
        click.echo(f"Would discard {len(letters)}." if dry_run else f"Discarded {count}.")


@dead_letters.command()
@SERVICE
@limit_of(100)
@AS_JSON
def actions(service: str, limit: int, as_json: bool) -> None:
    """List what operators did at SERVICE: letters and events sent again, discards and calls, when and by whom."""
    with operating(service) as services:
        found = services.ask(service, ListActions, limit=limit).actions
    if as_json:
        click.echo(dead_letters_text.in_json(found))
    else:
        dead_letters_text.echo_lines(dead_letters_text.actions_table(found) if found else ["No actions."])
