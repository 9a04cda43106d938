"""The tables of auth."""

from sqlalchemy import Column, MetaData, Table, Text, func

from bus.columns import Id, UtcDateTime

metadata = MetaData()

# The unique keys are compared, not the names: user names and addresses that differ only in case are the same.
user = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("username", Text, nullable=False),
    Column("username_key", Text, nullable=False, unique=True),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=func.now()),
    sqlite_autoincrement=True,
)
