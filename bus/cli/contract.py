"""`bus contract`: print the documents of a service, and check whether a contract has changed."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import msgspec

from bus.cli.common import chosen_applications
from bus.cli.groups import SentenceGroup
from bus.http.documents import as_text, asyncapi, openapi
from bus.http.documents.breaking_changes import Break, breaks
from bus.http.documents.description import NotADocument, parse_document

Make = Callable[[str, ModuleType], dict[str, Any]]

_KINDS: dict[str, Make] = {"openapi": openapi, "asyncapi": asyncapi}

_SERVICE = click.argument("service")
_OUTPUT = click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")


@click.group(cls=SentenceGroup)
def contract() -> None:
    """Print or check the documents of a contract. Connects to nothing."""


@contract.command("openapi")
@_SERVICE
@_OUTPUT
def print_openapi(service: str, output: Path | None) -> None:
    """Print the HTTP API of SERVICE as OpenAPI 3.1."""
    _write(_document(service, openapi), output)


@contract.command("asyncapi")
@_SERVICE
@_OUTPUT
def print_asyncapi(service: str, output: Path | None) -> None:
    """Print the queues and events of SERVICE as AsyncAPI 3.0."""
    _write(_document(service, asyncapi), output)


@contract.command("check")
@_SERVICE
@click.option(
    "--against",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The folder with SERVICE.openapi.json and SERVICE.asyncapi.json.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check_contract(service: str, against: Path, as_json: bool) -> None:
    """Compare the contract of SERVICE with its documents in a folder.

    Exits with 0 if they are equal, and with 1 if they differ. Prints whether the change is compatible, and the commands
    that update the documents.
    """
    kept = {kind: _kept(service, kind, against) for kind in _KINDS}
    made = {kind: _document(service, make) for kind, make in _KINDS.items()}
    stale = [kind for kind in _KINDS if kept[kind] != made[kind]]
    try:
        found = breaks(_pair(kept), _pair(made)) if stale else []
    except NotADocument as error:
        raise click.UsageError(f"{against}: {error}") from None
    except KeyError as missing:
        raise click.UsageError(f"{against}: A document is incomplete: {missing} is missing.") from None
    if as_json:
        report = {"equal": not stale, "differing": stale, "incompatible": [asdict(each) for each in found]}
        click.echo(msgspec.json.format(msgspec.json.encode(report)))
    else:
        _print_differences(service, against, stale, found)
    sys.exit(1 if stale else 0)


def _print_differences(service: str, folder: Path, stale: list[str], found: list[Break]) -> None:
    for each in found:
        click.echo(f"incompatible: {each}")
    if stale and not found:
        click.echo(f"compatible: callers and listeners of {service} need no change.")
    if stale:
        commands = " && ".join(
            f"bus contract {kind} {service} --output {_file(service, kind, folder)}" for kind in stale
        )
        click.echo(f"{'If this is intended, update' if found else 'Update'} the documents: {commands}")


def _kept(service: str, kind: str, folder: Path) -> str:
    file = _file(service, kind, folder)
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"{file} is missing. Create it: bus contract {kind} {service} --output {file}"
        raise click.UsageError(message) from None


def _file(service: str, kind: str, folder: Path) -> Path:
    return folder / f"{service}.{kind}.json"


def _pair(documents: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    openapi_document, asyncapi_document = (parse_document(documents[kind]) for kind in _KINDS)
    return openapi_document, asyncapi_document


def _document(service: str, make: Make) -> str:
    (application,) = chosen_applications([service])
    return as_text(make(application.name, application.contract))


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
