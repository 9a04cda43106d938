"""Alembic runs this; `bus migrate` gives the connection."""

from alembic import context

from bus.database.migrations import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
