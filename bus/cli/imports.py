"""Imports: what the commands share that import a file of many things, each by commands of a service."""

import codecs
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from bus.cli.common import service_client, service_settings
from bus.contract.operations import service_of
from bus.contract.problems import Invalid, ReplyTimeout, Unavailable
from bus.contract.refusals import Refusal, Refused
from bus.files.batches import Accepted, Batch, batches
from bus.files.entries import Fault, FileRefused, Skipped
from bus.files.importing import FileImport, Importer, Tally
from bus.files.source import Source, examine

C = TypeVar("C", bound=Callable[..., None])

# Of lines with faults that are printed; a file of the wrong kind has one in every line.
MOST_PRINTED = 100


def import_options(command: C) -> C:
    """The argument and the options of a command that imports a file: file, dry_run, encoding, name, token."""
    for option in (
        click.option("--token", help="An access token, where the service needs one."),
        click.option("--run", "name", default="", help="A name for another import of a file that was imported before."),
        click.option("--encoding", help="The text of the file, such as cp1252; by default it is UTF-8 or CP1252."),
        click.option("--dry-run", is_flag=True, help="Validate everything, and change nothing. Needs no broker."),
        click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    ):
        command = option(command)
    return command


def import_file(
    what: FileImport, file: Path, *, dry_run: bool, encoding: str | None, name: str, token: str | None
) -> None:
    """Import a file, or validate it; prints faults with their lines and a summary, and ends the process.

    The exit code is 1 if something could not be imported. Raises click.ClickException.
    """
    tally = Tally()
    try:
        source = examine(file, _known(encoding))
        layout = _dry_run(what, source, tally) if dry_run else _import(what, source, name, token, tally)
    except (FileRefused, UnicodeDecodeError) as refused:
        raise click.ClickException(str(refused)) from None
    begin = f"{file} ({layout}, {source.encoding.removesuffix('-sig').upper()})"
    click.echo(f"{begin}: {_summary(tally, dry_run=dry_run) or f'no {what.plural}'}.")
    sys.exit(1 if tally.faults else 0)


def _import(what: FileImport, source: Source, name: str, token: str | None, tally: Tally) -> str:
    printed = _Printed()
    with service_client(service_of(what.operation)) as client, source.opened() as (text, raw):
        layout, found = what.read(text)
        pieces = batches(found, _aside(printed, tally), what.most_items, what.most_bytes)
        try:
            Importer(client, what, what.run_of(source, name), token, printed).carry_out(
                _with_progress(pieces, raw, source.size), tally
            )
        except (Unavailable, ReplyTimeout) as away:
            raise click.ClickException(f"{away} {_where(tally)}") from None
        except Invalid as invalid:
            raise click.ClickException(
                f"{invalid} The beginning of this file was imported in another way. Give the import a name: --run NAME."
            ) from None
        except (Refusal, Refused) as refused:
            needs_token = refused.problem.status in (401, 403)
            remedy = f"Give an access token with the scope {what.needs}: --token." if needs_token else ""
            raise click.ClickException(f"{refused} {remedy} {_where(tally)}") from None
    printed.close()
    return layout


def _where(tally: Tally) -> str:
    if not tally.last_line:
        return ""
    return f"The last line that was imported is {tally.last_line}. Start the same command again: it goes on there."


def _dry_run(what: FileImport, source: Source, tally: Tally) -> str:
    service_settings(service_of(what.operation))
    printed = _Printed()
    with source.opened() as (text, raw):
        layout, found = what.read(text)
        pieces = batches(_without_doubles(found, what.unique), _aside(printed, tally), what.most_items, what.most_bytes)
        for batch in _with_progress(pieces, raw, source.size):
            tally.created += len(batch.items)
    printed.close()
    return layout


def _without_doubles(
    found: Iterable[Accepted[Any]], unique: Callable[[Any], dict[str, str]]
) -> Iterator[Accepted[Any]]:
    """The same, and a fault for a value that an earlier line has. They are kept in a temporary file."""
    seen = sqlite3.connect("")
    seen.execute("CREATE TABLE seen (field TEXT, value TEXT, line INTEGER, PRIMARY KEY (field, value)) WITHOUT ROWID")
    for each in found:
        fault = None if isinstance(each, Fault | Skipped) else _double(seen, each[0], unique(each[1]))
        yield fault or each


def _double(seen: sqlite3.Connection, line: int, values: dict[str, str]) -> Fault | None:
    for field, value in values.items():
        earlier = seen.execute("SELECT line FROM seen WHERE field = ? AND value = ?", (field, value)).fetchone()
        if earlier is not None:  # it is not imported, and so takes no value from a later line
            return Fault(line, f"{field}: line {earlier[0]} has {value} too.")
    seen.executemany("INSERT INTO seen VALUES (?, ?, ?)", [(field, value, line) for field, value in values.items()])
    return None


class _Printed:
    """Prints faults and skipped entries with their lines, as many as a person would read."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, each: Fault | Skipped) -> None:
        self._count += 1
        if self._count <= MOST_PRINTED:
            text = each.detail if isinstance(each, Fault) else f"skipped: {each.reason}"
            click.echo(f"line {each.line}: {text}", err=True)

    def close(self) -> None:
        if self._count > MOST_PRINTED:
            click.echo(f"… and {self._count - MOST_PRINTED} more lines.", err=True)


def _aside(printed: _Printed, tally: Tally) -> Callable[[Fault | Skipped], None]:
    def aside(each: Fault | Skipped) -> None:
        printed(each)
        tally.faults += isinstance(each, Fault)
        tally.skipped += isinstance(each, Skipped)

    return aside


def _with_progress(pieces: Iterator[Batch], raw: Any, size: int) -> Iterator[Batch]:
    """The batches; on a terminal with a bar that shows how much of the file was read."""
    if not sys.stderr.isatty():
        yield from pieces
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        for batch in pieces:
            bar.update(raw.tell() - bar.pos)
            yield batch
        bar.update(size - bar.pos)


def _summary(tally: Tally, *, dry_run: bool) -> str:
    if dry_run:
        counts = [(tally.created, "can be imported")]
    else:
        counts = [
            (tally.created, "created"),
            (tally.found, "changed or the same as before"),
            (tally.done_before, "done by an earlier start of this import"),
        ]
    counts += [(tally.faults, "with faults"), (tally.skipped, "skipped")]
    return ", ".join(f"{count} {words}" for count, words in counts if count)


def _known(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise click.UsageError(
            f"There is no encoding {encoding!r}. Known are utf-8, cp1252, utf-16 and more."
        ) from None
    return "utf-8-sig" if name == "utf-8" else name
