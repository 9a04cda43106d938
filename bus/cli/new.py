"""`bus new`."""

import shlex
from pathlib import Path

import click

from bus.cli.skeleton import InvalidName, write_skeleton


@click.command()
@click.argument("service")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="The folder to use.")
@click.option("--port", type=click.IntRange(1024, 65535), default=5002, show_default=True, help="The front end's.")
def new(service: str, into: Path, port: int) -> None:
    """Write the skeleton of a new service: a package that runs and passes its tests at once."""
    try:
        folder = write_skeleton(service, into, port)
    except (InvalidName, OSError) as error:
        raise click.UsageError(str(error)) from None
    project, extra = shlex.quote(str(folder)), shlex.quote(f"{folder}[test]")
    click.echo(f"Wrote {folder}. Next:")
    click.echo(f"  pip install -e {extra} && pytest {project} && bus run {service}")
