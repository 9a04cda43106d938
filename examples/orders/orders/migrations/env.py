"""Alembic runs this: for `bus migrate`, and for `alembic revision --autogenerate`."""

from bus.database import run_revisions

from orders.tables import metadata

run_revisions(metadata)
