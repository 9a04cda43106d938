"""`bus catalog`: products from files, and into files, over the bus; on any machine that has BUS_URL."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import click

from bus.cli import import_file, import_options, service_client
from catalog.contract import ListProducts
from catalog.files.reading import Reading, import_of
from catalog.files.writing import CSV, NDJSON, pages, written


@click.group()
def commands() -> None:
    """Import and export products."""


@commands.command("import")
@import_options
@click.option("--match", type=click.Choice(["sku"]), help="Change the product that has the SKU, if there is one.")
@click.option("--decimal-comma", is_flag=True, help="Prices are written as in 9,90.")
def import_(file: Path, match: str | None, decimal_comma: bool, **options: Any) -> None:
    """Create the products of FILE: CSV, NDJSON, or a product export file of Shopify or WooCommerce.

    If it is stopped, start it again: it goes on where it was, and no product is there twice. Exits with 1 if some
    products could not be imported; each is printed with its line.
    """
    import_file(import_of(Reading(decimal_comma=decimal_comma, by_sku=match == "sku")), file, **options)


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
        for piece in written(pages(client, ListProducts()), form):
            target.write(piece)
