"""`bus sealing-keys`: list, rotate and forget the keys that secrets are sealed to."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import msgspec

from bus.cli.common import application_and_settings, migrated_database
from bus.cli.groups import MAY_BEGIN_WITH_A_DASH, SentenceGroup
from bus.database.engine import Database
from bus.security.key_store import KeyInUse, KeyNotFound, forget, identity, kept_keys, rotate

_SERVICE = click.argument("service")


@click.group("sealing-keys", cls=SentenceGroup)
def sealing_keys() -> None:
    """Manage the keys that passwords and other secrets are sealed to."""


@sealing_keys.command("list")
@_SERVICE
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(service: str, as_json: bool) -> None:
    """List the keys of SERVICE, the newest first, without their private halves."""
    with _database_of(service) as database:
        keys = [key._asdict() for key in kept_keys(database)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(keys)))
        return
    for key in keys:
        retired = f"retired {key['retired_at']:%Y-%m-%d %H:%M:%S}" if key["retired_at"] else "given out"
        click.echo(f"{key['kid']}  made {key['made_at']:%Y-%m-%d %H:%M:%S}  {retired}")


@sealing_keys.command("rotate")
@_SERVICE
def rotate_keys(service: str) -> None:
    """Create a new key for SERVICE and print its id. The old key still opens what was sealed to it."""
    with _database_of(service) as database:
        click.echo(rotate(database))


@sealing_keys.command("forget", context_settings=MAY_BEGIN_WITH_A_DASH)
@_SERVICE
@click.argument("kid")
def forget_key(service: str, kid: str) -> None:
    """Delete the retired key KID of SERVICE. What is still sealed to it can never be opened again."""
    with _database_of(service) as database:
        try:
            forget(database, kid)
        except (KeyInUse, KeyNotFound) as mistake:
            raise click.UsageError(str(mistake)) from None


@sealing_keys.command("identity")
@_SERVICE
def print_identity(service: str) -> None:
    """Print the thumbprint of the key that signs the keys of SERVICE: the value of NAME_IDENTITY_KEY."""
    with _database_of(service) as database:
        click.echo(identity(database))


@contextmanager
def _database_of(service: str) -> Iterator[Database]:
    application, settings = application_and_settings(service)
    if not application.service.takes_secrets:
        raise click.UsageError(f"No operation of {service} takes secrets or tokens, so it has no sealing keys.")
    with migrated_database(application, settings) as database:
        yield database
