"""Tries that failed, dead letters by their trace, and the inbox by message id alone."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
# It adds a table, a nullable column and indexes.
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
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL builds them after the migration (`concurrent_indexes.py`)
        op.create_index("dead_letters_trace_id", "dead_letters", ["trace_id"])
        op.create_index("inbox_message_id", "inbox", ["message_id"])
    else:
        for index in ("inbox_done_at", "outbox_made_at"):
            op.execute(f"ALTER INDEX {index} SET (autosummarize = on)")
