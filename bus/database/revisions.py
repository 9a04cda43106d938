"""What a service's `migrations/env.py` calls: run its revisions, or find out what the next one has to do.

`bus migrate` gives the connection. `alembic revision --autogenerate` gives none: then the revisions are run in an empty
SQLite database in memory, and what they made is compared with the declared tables. So it needs no server and no data,
and does not depend on the state of any database. Revisions that it writes are for both databases.
"""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, create_engine
from sqlalchemy.types import TypeEngine

from bus.columns import Encrypted, Id, Money, UtcDateTime

# The attribute of Alembic's configuration with a list, for the tables of a service. Then no revision is run.
DECLARED = "declared"


def run_revisions(metadata: MetaData) -> None:
    """Run the service's revisions, or those that Alembic asks for. `metadata` has the tables of the service."""
    if (declared := context.config.attributes.get(DECLARED)) is not None:
        declared.append(metadata)
        return
    if (connection := context.config.attributes.get("connection")) is not None:
        context.configure(connection=connection)
        context.run_migrations()
        return
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        _upgrade(connection, context.script)
        virtual = _virtual_tables(connection)
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=lambda name, kind, _parents: kind != "table" or name not in virtual,
            render_item=_render_item,
            render_as_batch=True,  # SQLite alters a table by copying it
        )
        context.run_migrations()
    engine.dispose()


def _upgrade(connection: Connection, script: ScriptDirectory) -> None:
    """Run all revisions, without `env.py`, which is being run."""
    migrations = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _: script._upgrade_revs("head", revision), "script": script}
    )
    with migrations.begin_transaction(), Operations.context(migrations):
        migrations.run_migrations()


def _virtual_tables(connection: Connection) -> set[str]:
    """The tables of SQLite's full text indexes, which no metadata declares."""
    listed = connection.exec_driver_sql("PRAGMA table_list").all()
    return {row.name for row in listed if row.type in ("virtual", "shadow")}


def _render_item(kind: str, item: Any, autogenerate: AutogenContext) -> str | Literal[False]:
    """A column type of ours as a revision has it, with its import."""
    if kind != "type" or not isinstance(item, TypeEngine):
        return False
    # Each of its tables has its own copy of `Id`.
    name = "Id" if repr(item) == repr(Id) else type(item).__name__
    if name != "Id" and not isinstance(item, Encrypted | Money | UtcDateTime):
        return False
    autogenerate.imports.add(f"from bus.columns import {name}")
    return name if name == "Id" else repr(item)
