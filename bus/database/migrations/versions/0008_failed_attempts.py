"""Tries that failed, dead letters by their trace, and the inbox by message id alone."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
# It adds a table and a nullable column; the columns of the inbox's key are the same, in another order.
compatible = True

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "failed_attempts",
        sa.Column("id", _Id, primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.Text),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("failed_at", _Time, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("error_class", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("trace_id", sa.Text, nullable=False),
        sa.Column("retry_seconds", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index("failed_attempts_message_id", "failed_attempts", ["message_id"])
    op.create_index("failed_attempts_trace_id", "failed_attempts", ["trace_id"])
    op.create_index("failed_attempts_failed_at", "failed_attempts", ["failed_at"], postgresql_using="brin")
    op.add_column("dead_letters", sa.Column("trace_id", sa.Text))
    op.create_index("dead_letters_trace_id", "dead_letters", ["trace_id"])
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("inbox_pkey", "inbox")
        op.create_primary_key("inbox_pkey", "inbox", ["message_id", "caller"])
    else:
        _copy_inbox()


def _copy_inbox() -> None:
    """SQLite has no other way to change a key."""
    op.rename_table("inbox", "inbox_before")
    op.drop_index("inbox_done_at", "inbox_before")
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("done_at", _Time, nullable=False, server_default=sa.func.now()),
    )
    names = "message_id, caller, operation, digest, status, location, reply, done_at"
    op.execute(f"INSERT INTO inbox ({names}) SELECT {names} FROM inbox_before")  # noqa: S608  # names of ours
    op.drop_table("inbox_before")
    op.create_index("inbox_done_at", "inbox", ["done_at"])
