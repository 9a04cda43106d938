"""The command line: `python -m bench`."""

import signal
import sys
import tempfile
from pathlib import Path

import click

from bench import report, rounds
from bench.names import PEERS
from bench.wrk import find_wrk
from bus.testing.servers.errors import ProvisioningFailed


@click.command()
@click.option("--rounds", "count", type=click.IntRange(1, 20), default=3, show_default=True, help="How often, in turn.")
@click.option("--seconds", type=click.IntRange(1, 60), default=4, show_default=True, help="How long each time.")
@click.option(
    "--products",
    type=click.IntRange(1000),
    multiple=True,
    default=(1000, 100_000),
    show_default=True,
    help="How many products lists have; repeat it for several numbers.",
)
@click.option("--peers", is_flag=True, help="Measure nameko, Celery and FastStream, too; installs them first.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures to this file.")
def main(count: int, seconds: int, products: tuple[int, ...], peers: bool, file: Path | None) -> None:
    """Measure the catalog beside a tutorial's product service, and print what each took."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        wrk = find_wrk()
        with tempfile.TemporaryDirectory(prefix="bus-bench-") as folder:
            figures = rounds.run(wrk, Path(folder), count, seconds, products, PEERS if peers else ())
    except ProvisioningFailed as missing:
        raise click.ClickException(str(missing)) from missing
    click.echo(report.text_of(figures))
    if file is not None:
        file.write_text(report.json_of(figures))
    if figures.failures:
        raise click.ClickException("Some requests failed, so these figures do not count.")


if __name__ == "__main__":
    main()
