"""`bus dead-letters replay`."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from msgspec import UNSET, structs

from bus.cli.broker import in_words
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
from bus.cli.dead_letters_text import in_json
from bus.cli.operating import AS_JSON, REASON, SERVICE, Operating, operating, show_progress
from bus.client.client import Client
from bus.client.replay import Replay
from bus.contract.codec import encode
from bus.contract.operator.actions import GetAction
from bus.contract.operator.dead_letters import MAX_LETTERS, DeadLetterFilter, ListedDeadLetter, TakeDeadLetters
from bus.contract.problems import Invalid
from bus.contract.validation import decode
from bus.messaging.message import JSON, MAX_BODY_BYTES, check_body


class Skipped(msgspec.Struct, frozen=True):
    """A dead letter that cannot be sent again, and why."""

    id: int
    why: str


_RATE = click.option(
    "--rate", type=click.FloatRange(0.1, 10_000), default=1000, show_default=True, help="At most this many a second."
)


@click.command()
@SERVICE
@with_filter
@limit_of(MAX_LETTERS)
@EVERYTHING
@click.option("--body", help="Send one dead letter with this body: JSON, or @FILE.")
@click.option("--resume", type=click.IntRange(1), metavar="ACTION", help="Continue an interrupted replay.")
@_RATE
@click.option("--growing", is_flag=True, help="Send 1, then 10, 100, …, and stop when one of them fails again.")
@REASON
@DRY_RUN
@YES
@AS_JSON
def replay(
    service: str,
    letter_filter: DeadLetterFilter,
    limit: int,
    everything: bool,
    body: str | None,
    resume: int | None,
    rate: float,
    growing: bool,
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send dead letters of SERVICE to their operations again, each with its message id, so that it has one effect.

    Sends exactly the dead letters that were shown. Exits with 1 if some of them cannot be sent.
    """
    if resume is None:
        require_filter(letter_filter, everything)
    elif not letter_filter.is_everything or everything or dry_run:
        raise click.UsageError("--resume continues with the dead letters of its action: give no filter with it.")
    with operating(service) as services:
        if resume:
            letters = _left_of(services, service, resume, body)
        else:
            letters = letters_of(services, service, structs.replace(letter_filter, state="dead"), limit)
        other_body = None if body is None else _checked(body, letters, services.client)
        picked, skipped = _sorted_out(letters, has_other_body=body is not None)
        if resume is None:
            confirm(f"Send {len(picked)} dead letters again?", picked, yes=yes or dry_run, quiet=as_json)
        elif skipped:
            raise click.UsageError(f"Discard these first: bus dead-letters discard {service} --state chosen --id …")
        action, sent = resume, 0
        if picked and not dry_run:
            if action is None:
                kind = "replay" if body is None else "edit"
                frozen = structs.replace(letter_filter, state="dead", up_to=letters[-1].id)
                taken = {"filter": frozen, "limit": limit, "reason": reason, "body": other_body or UNSET}
                action = services.ask(service, TakeDeadLetters, kind=kind, **taken).action
            if action is not None:
                run = Replay(
                    services.client, services.operator, service, action, rate=rate, growing=growing, body=other_body
                )
                resuming = f"bus dead-letters replay {service} --resume {action}"
                sent = show_progress(run, resuming, quiet=as_json)
    if as_json:
        would = {"would_replay": len(picked), "letters": picked} if dry_run else {}
        click.echo(in_json({"action": action, "replayed": sent, **would, "skipped": skipped}))
    else:
        click.echo(f"Would replay {len(picked)}." if dry_run else f"Replayed {sent}.")
    sys.exit(1 if skipped else 0)


def _left_of(services: Operating, service: str, action: int, body: str | None) -> list[ListedDeadLetter]:
    """The dead letters that an interrupted replay has left. Raises click.UsageError."""
    found = services.ask(service, GetAction, action=action).action
    if found.kind not in ("replay", "edit"):
        raise click.UsageError(f"There is no replay {action}. `bus dead-letters actions` lists them.")
    if (found.kind == "edit") != (body is not None):
        remedy = "another body: give it again with" if found.kind == "edit" else "the stored bodies: leave out"
        raise click.UsageError(f"Replay {action} sends {remedy} --body.")
    return letters_of(services, service, DeadLetterFilter(state="chosen", action=action), MAX_LETTERS)


def _checked(body: str, letters: Sequence[ListedDeadLetter], client: Client) -> str:
    """The body for one dead letter, valid by its contract, with its secrets sealed. Raises click.UsageError."""
    # Imported here: only this needs the contract of the service.
    from bus.cli.common import operations_of
    from bus.service.application import installed_applications

    if len(letters) != 1:
        count = len(letters) or "none"
        raise click.UsageError(f"--body is for one dead letter, but the filter matches {count}. Choose one with --id.")
    operation = operations_of(installed_applications().values()).get(letters[0].operation)
    if operation is None:
        raise click.UsageError(
            f"{letters[0].operation} of dead letter {letters[0].id} is not an operation of this service."
        )
    try:
        raw = Path(body[1:]).read_bytes() if body.startswith("@") else body.encode()
        check_body(JSON, None, len(raw), MAX_BODY_BYTES)
        return client.sealed(operation, encode(decode(raw, operation))).decode()
    except OSError as error:
        raise click.UsageError(f"--body: {error}") from None
    except Invalid as invalid:
        raise click.UsageError(in_words(invalid.problem)) from None


def _sorted_out(
    letters: Sequence[ListedDeadLetter], *, has_other_body: bool
) -> tuple[list[ListedDeadLetter], list[Skipped]]:
    """Those that can be sent, and those that cannot; prints why not. With another body, the service decides."""
    picked, skipped = [], []
    for letter in letters:
        if letter.why_not and not has_other_body:
            click.echo(f"Dead letter {letter.id} cannot be sent again: {letter.why_not}.", err=True)
            skipped.append(Skipped(letter.id, letter.why_not))
        else:
            picked.append(letter)
    return picked, skipped
