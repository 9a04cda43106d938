"""The command line: `python -m faults`, which `make test-faults` runs."""

import signal
import sys
import time
import traceback
from collections.abc import Sequence

import click
import structlog

from bus.telemetry.logs import configure_logs
from bus.testing.servers.errors import ProvisioningFailed
from faults.rows import ROWS, Row
from faults.scale import Scale
from faults.system import Servers, private_servers
from faults.tally import HEADER, Tally


@click.command()
@click.argument("numbers", nargs=-1, metavar="[ROW]...")
@click.option("--long", "with_long", is_flag=True, help="Run the rows that take long, too.")
@click.option("--short", is_flag=True, help="Run the rows as short as they are in `make test`.")
def main(numbers: Sequence[str], with_long: bool, short: bool) -> None:
    """Break the system under load, row by row, and count what that cost. Ends with 1 when a row failed."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    if unknown := [number for number in numbers if number not in ROWS]:
        raise click.UsageError(f"There is no row {', '.join(unknown)}. Rows: {', '.join(ROWS)}.")
    configure_logs("error")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    chosen = {number: row for number, row in ROWS.items() if number in numbers or _is_usual(row, numbers, with_long)}
    try:
        with private_servers() as servers:
            _say(f"RabbitMQ {servers.broker.version}, PostgreSQL {servers.database.version}")
            lines = [_run(number, row, servers, Scale.SHORT if short else Scale.FULL) for number, row in chosen.items()]
    except ProvisioningFailed as missing:
        raise click.ClickException(str(missing)) from missing
    click.echo("\n".join(["", HEADER, *(line for line, _ in lines)]))
    sys.exit(0 if all(passed for _, passed in lines) else 1)


def _is_usual(row: Row, numbers: Sequence[str], with_long: bool) -> bool:
    return not numbers and (with_long or not row.is_long)


def _run(number: str, row: Row, servers: Servers, scale: Scale) -> tuple[str, bool]:
    """Run a row and tell how it went at once, with all that was seen; its line of the table, and whether it passed."""
    _say(f"{number}: {row.title} …")
    started = time.monotonic()
    tally = Tally()
    try:
        tally = row.run(servers, scale)
    except Exception as error:  # whatever a row meets, the others are to be run
        traceback.print_exc()
        tally.broken.append(f"it could not be carried through: {error}")
    for note in tally.notes:
        _say(f"  {note}")
    for sentence in tally.broken:
        _say(f"  FAILED: {sentence}")
    line = tally.line(number, row.title)
    _say(f"{line}  ({time.monotonic() - started:.0f} s)")
    return line, tally.passed


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
