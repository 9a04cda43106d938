"""The Alembic history of the library's own tables, in every service's database beside the service's history.

`bus migrate` runs it first. A new table, column or index is one new revision in `versions/`, and its declaration in
`bus/database/tables.py`; a test compares the two.
"""

# A service's history keeps its place in Alembic's default table, `alembic_version`.
VERSION_TABLE = "bus_alembic_version"
