"""`bus dead-letters replay`."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click
import msgspec
from msgspec import structs

from bus.cli.common import broker_of, in_words
from bus.cli.dead_letters_desk import Desk, ask, check_chosen, desk_of
from bus.cli.dead_letters_options import AS_JSON, DRY_RUN, EVERYTHING, SERVICE, YES, choosing, limit_of
from bus.cli.dead_letters_text import in_json
from bus.contract.codec import encode
from bus.contract.problems import Invalid
from bus.contract.validation import decode
from bus.dead_letters.actions import actions
from bus.dead_letters.queries import MAX_LETTERS, DeadLetterFilter
from bus.dead_letters.replay import Progress, sending, why_not
from bus.dead_letters.replay import replay as sent_again
from bus.dead_letters.store import CHOSEN, DEAD, DeadLetterSummary
from bus.messaging.checks import MAX_BODY_BYTES, check_body
from bus.messaging.message import JSON


class Skipped(msgspec.Struct, frozen=True):
    """A letter that cannot be sent again, and why."""

    id: int
    why: str


_RATE = click.option(
    "--rate", type=click.FloatRange(0.1, 10_000), default=100, show_default=True, help="Letters a second, at most."
)


@click.command()
@SERVICE
@choosing
@limit_of(MAX_LETTERS)
@EVERYTHING
@click.option("--body", help="Send the one letter with this body: JSON, or @FILE.")
@click.option("--resume", type=click.IntRange(1), metavar="ACTION", help="Go on with an interrupted replay.")
@_RATE
@DRY_RUN
@YES
@AS_JSON
def replay(
    service: str,
    choice: DeadLetterFilter,
    limit: int,
    everything: bool,
    body: str | None,
    resume: int | None,
    rate: float,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Send dead letters of SERVICE to their operations again, each with its message id, and so with one effect.

    Exactly those that were shown are sent. Exits with 1 when some cannot be.
    """
    if resume is None:
        check_chosen(choice, everything)
    elif not choice.is_everything or everything or dry_run:
        raise click.UsageError("--resume goes on with the letters of its action: no filter goes with it.")
    with desk_of(service) as desk:
        url = broker_of(desk.settings)
        letters = _left_of(desk, resume, body) if resume else desk.letters(structs.replace(choice, state=DEAD), limit)
        other_body = None if body is None else _checked(body, letters, desk)
        picked, skipped = _sorted_out(letters, desk, has_other_body=body is not None)
        if resume is None:
            ask(f"Send {len(picked)} letters again?", picked, yes=yes or dry_run, quiet=as_json)
        elif skipped:
            raise click.UsageError(f"`bus dead-letters discard {service} --state chosen --id …` takes these out.")
        action, sent = resume, 0
        if picked and not dry_run:
            with sending(url) as send:
                action = resume or desk.begin("replay" if body is None else "edit", choice, picked)
                run = sent_again(desk.database, action, send, rate=rate, other_body=other_body)
                sent = _watched(run, f"bus dead-letters replay {service} --resume {action}", quiet=as_json)
    if as_json:
        click.echo(in_json({"action": action, "replayed": sent, "skipped": skipped}))
    else:
        click.echo(f"Would send {len(picked)} again." if dry_run else f"Sent {sent} again.")
    sys.exit(1 if skipped else 0)


def _left_of(desk: Desk, action_id: int, body: str | None) -> list[DeadLetterSummary]:
    """What an interrupted replay has left. Raises click.UsageError."""
    with desk.database.reading() as transaction:
        found = actions(transaction.connection, 1, action_id)
    if not found or found[0].kind == "discard":
        raise click.UsageError(f"There is no replay {action_id}. `bus dead-letters actions` lists them.")
    if (found[0].kind == "edit") != (body is not None):
        kind = "another body: give it again" if found[0].kind == "edit" else "the letters' own bodies: give none"
        raise click.UsageError(f"Replay {action_id} sends {kind} with --body.")
    return desk.letters(DeadLetterFilter(state=CHOSEN, action=action_id), MAX_LETTERS)


def _checked(body: str, letters: Sequence[DeadLetterSummary], desk: Desk) -> bytes:
    """A body for the one letter, valid by its contract, with its secrets sealed. Raises click.UsageError."""
    if len(letters) != 1:
        raise click.UsageError(f"--body is for one letter, and {len(letters)} are meant.")
    operation = desk.operations.get(letters[0].operation)
    if operation is None:
        raise click.UsageError(f"Letter {letters[0].id} is not of an operation of this service.")
    try:
        raw = Path(body[1:]).read_bytes() if body.startswith("@") else body.encode()
        check_body(JSON, None, len(raw), MAX_BODY_BYTES)
        return desk.sealed(operation, encode(decode(raw, operation)))
    except OSError as error:
        raise click.UsageError(f"--body: {error}") from None
    except Invalid as invalid:
        raise click.UsageError(in_words(invalid.problem)) from None


def _sorted_out(
    letters: Sequence[DeadLetterSummary], desk: Desk, *, has_other_body: bool
) -> tuple[list[DeadLetterSummary], list[Skipped]]:
    """Those that can be sent, and those that cannot, which a person is told of."""
    picked, skipped = [], []
    for letter in letters:
        if why := why_not(letter, desk.operations, has_other_body=has_other_body):
            click.echo(f"Letter {letter.id} cannot be sent again: {why}.", err=True)
            skipped.append(Skipped(letter.id, why))
        else:
            picked.append(letter)
    return picked, skipped


def _watched(run: Progress, how_to_go_on: str, *, quiet: bool) -> int:
    """Show how far it is, and how to go on where it ends too early; returns how many were sent."""
    sent, left = next(run)
    is_through = False
    try:
        hidden = quiet or not sys.stderr.isatty()
        with closing(run), click.progressbar(length=left, file=sys.stderr, hidden=hidden) as bar:
            for progress in run:
                sent, left = progress
                bar.update(1)
        is_through = True
    finally:
        if not is_through:
            click.echo(f"{sent} sent, {left} left. To go on: {how_to_go_on}", err=True)
    return sent
