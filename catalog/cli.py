"""`bus catalog`: products from files, and into files, over the bus; on any machine that has BUS_URL."""

import codecs
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click

from bus import Invalid, Refusal, Refused, ReplyTimeout, Unavailable
from bus.cli import service_client, service_settings
from catalog.contract import BatchOperation
from catalog.files import reading
from catalog.files.entries import Fault, FileRefused, Skipped
from catalog.files.importing import Import, Tally
from catalog.files.reading import Batch, Reading
from catalog.files.source import Source, examine
from catalog.files.writing import CSV, NDJSON, pages, written

# Of lines with faults that are printed; a file of the wrong kind has one in every line.
MOST_PRINTED = 100

_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_TOKEN = click.option("--token", help="An access token, where CATALOG_OPEN=0.")


@click.group()
def commands() -> None:
    """Import and export products."""


@commands.command("import")
@_FILE
@click.option("--dry-run", is_flag=True, help="Validate everything, and change nothing. Needs no broker.")
@click.option("--match", type=click.Choice(["sku"]), help="Change the product that has the SKU, if there is one.")
@click.option("--decimal-comma", is_flag=True, help="Prices are written as in 9,90.")
@click.option("--encoding", help="The text of the file, such as cp1252; by default it is UTF-8 or CP1252.")
@click.option("--run", "name", default="", help="A name for another import of a file that was imported before.")
@_TOKEN
def import_(
    file: Path,
    dry_run: bool,
    match: str | None,
    decimal_comma: bool,
    encoding: str | None,
    name: str,
    token: str | None,
) -> None:
    """Create the products of FILE: CSV, NDJSON, or a product export file of Shopify or WooCommerce.

    If it is stopped, start it again: it goes on where it was, and no product is there twice. Exits with 1 if some
    products could not be imported; each is printed with its line.
    """
    how, tally = Reading(decimal_comma=decimal_comma, by_sku=match == "sku"), Tally()
    try:
        source = examine(file, _known(encoding))
        layout = _dry_run(source, how, tally) if dry_run else _import(source, how, name, token, tally)
    except (FileRefused, UnicodeDecodeError) as refused:
        raise click.ClickException(str(refused)) from None
    click.echo(_summary(f"{file} ({layout}, {source.encoding.removesuffix('-sig').upper()})", tally, dry_run=dry_run))
    sys.exit(1 if tally.faults else 0)


@commands.command()
@click.option(
    "--format", "form", type=click.Choice([CSV, NDJSON]), default=CSV, show_default=True, help="What to write."
)
@click.option("--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write to this file.")
def export(form: str, output: Path | None) -> None:
    """Print all products, in the order of their ids."""
    with ExitStack() as stack:
        client = stack.enter_context(service_client("catalog"))
        target: BinaryIO = sys.stdout.buffer
        if output:
            target = stack.enter_context(output.open("wb"))
        for piece in written(pages(client), form):
            target.write(piece)


def _import(source: Source, how: Reading, name: str, token: str | None, tally: Tally) -> str:
    printed = _Printed()
    with service_client("catalog") as client, source.opened() as (text, raw):
        layout, found = reading.entries(text, how)
        batches = reading.batches(reading.operations(found, how), _aside(printed, tally))
        try:
            Import(client, how.run_of(source, name), token, printed).carry_out(
                _with_progress(batches, raw, source.size), tally
            )
        except (Unavailable, ReplyTimeout) as away:
            raise click.ClickException(
                f"{away} The last line that was imported is {tally.last_line}. "
                "Start the same command again: it goes on there."
            ) from None
        except Invalid as invalid:
            raise click.ClickException(
                f"{invalid} The beginning of this file was imported in another way. Give the import a name: --run NAME."
            ) from None
        except (Refusal, Refused) as refused:
            needs_token = refused.problem.status in (401, 403)
            remedy = "Give an access token with the scope catalog:write: --token." if needs_token else ""
            raise click.ClickException(f"{refused} {remedy}".strip()) from None
    printed.close()
    return layout


def _dry_run(source: Source, how: Reading, tally: Tally) -> str:
    service_settings("catalog")
    printed = _Printed()
    with source.opened() as (text, raw):
        layout, found = reading.entries(text, how)
        aside = _aside(printed, tally)
        valid = _without_doubles(reading.operations(found, how)) if not how.by_sku else reading.operations(found, how)
        for batch in _with_progress(reading.batches(valid, aside), raw, source.size):
            tally.created += len(batch.operations)
    printed.close()
    return layout


Found = tuple[int, BatchOperation] | Fault | Skipped


def _without_doubles(found: Iterable[Found]) -> Iterator[Found]:
    """The same, and a fault for an SKU that an earlier line has. They are kept in a temporary file."""
    seen = sqlite3.connect("")
    seen.execute("CREATE TABLE skus (sku TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")
    for each in found:
        sku = each[1].content.sku if isinstance(each, tuple) and isinstance(each[1], BatchOperation) else None
        if not sku or seen.execute("INSERT OR IGNORE INTO skus VALUES (?, ?)", (sku, each[0])).rowcount:
            yield each
        else:
            (line,) = seen.execute("SELECT line FROM skus WHERE sku = ?", (sku,)).fetchone()
            yield Fault(each[0], f"sku: line {line} has the SKU {sku} too.")


class _Printed:
    """Prints faults and skipped products with their lines, as many as a person would read."""

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


def _with_progress(batches: Iterator[Batch], raw: Any, size: int) -> Iterator[Batch]:
    """The batches; on a terminal with a bar that shows how much of the file was read."""
    if not sys.stderr.isatty():
        yield from batches
        return
    with click.progressbar(length=size, label="Importing", file=sys.stderr) as bar:
        for batch in batches:
            bar.update(raw.tell() - bar.pos)
            yield batch
        bar.update(size - bar.pos)


def _summary(what: str, tally: Tally, *, dry_run: bool) -> str:
    if dry_run:
        counts = [(tally.created, "can be imported")]
    else:
        counts = [
            (tally.created, "created"),
            (tally.found, "changed or the same as before"),
            (tally.done_before, "done by an earlier start of this import"),
        ]
    counts += [(tally.faults, "with faults"), (tally.skipped, "skipped")]
    said = ", ".join(f"{count} {words}" for count, words in counts if count)
    return f"{what}: {said or 'no products'}."


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
