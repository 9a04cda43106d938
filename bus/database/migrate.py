"""Migrating: bringing a service's database to the newest revision of its Alembic history."""

import io
from importlib import import_module
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from bus.database.engine import Database


class NotMigrated(Exception):
    """A database is not, or cannot be brought, at the newest revision. The operator's to mend."""


def migrate(database: Database, migrations: str) -> str:
    """Bring a database up to date; returns the revision. `migrations` is the package of the history.

    Raises DatabaseUnavailable, and NotMigrated when the database refuses.
    """
    config = _config(migrations)
    try:
        with database.transaction() as transaction:
            config.attributes["connection"] = transaction.connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        raise NotMigrated(f"the database refuses the migration: {error.orig}") from error
    return _newest(config)


def check_migrated(database: Database, migrations: str) -> None:
    """Raises NotMigrated, or DatabaseUnavailable."""
    newest = _newest(_config(migrations))
    with database.reading() as transaction:
        current = MigrationContext.configure(transaction.connection).get_current_revision()
    if current != newest:
        raise NotMigrated(f"its database is at revision {current}, not {newest}: run `bus migrate`")


def _config(migrations: str) -> Config:
    config = Config(stdout=io.StringIO())
    folder = Path(str(import_module(migrations).__file__)).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    return config


def _newest(config: Config) -> str:
    return str(ScriptDirectory.from_config(config).get_current_head())
