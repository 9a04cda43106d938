"""Alembic runs this: for `bus migrate`, and for `alembic revision --autogenerate`."""

from auth.tables import metadata
from bus.database import run_revisions

run_revisions(metadata)
