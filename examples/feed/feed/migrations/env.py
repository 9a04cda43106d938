"""Alembic runs this; the connection is given by `bus migrate`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
