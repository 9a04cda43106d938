"""`bus database-keys`: make and change the keys that secrets in databases are encrypted with."""

import click

from bus.cli.common import application_and_settings, migrated_database
from bus.cli.groups import SentenceGroup
from bus.database.encryption import new_key
from bus.database.migrate import tables_of
from bus.database.reencryption import reencrypt


@click.group("database-keys", cls=SentenceGroup)
def database_keys() -> None:
    """Manage the keys that secrets in databases are encrypted with."""


@database_keys.command("new")
def print_new_key() -> None:
    """Print a new key, for NAME_DATABASE_KEY or its file. It is stored nowhere."""
    click.echo(new_key())


@database_keys.command("reencrypt")
@click.argument("service")
def reencrypt_database(service: str) -> None:
    """Encrypt all secrets in the database of SERVICE with the first of its keys. The others can be removed then."""
    application, settings = application_and_settings(service)
    with migrated_database(application, settings) as database:
        count = reencrypt(database, tables_of(application.migrations))
    click.echo(f"{count} rows with secrets are encrypted with the first key.")
