"""The tables that `bus` needs in every service's database, for use in migrations.

A service's first migration calls `create_inbox`; a later change of these tables comes as another
function here, for a migration of the service to call.
"""

import sqlalchemy as sa
from alembic import op


def create_inbox() -> None:
    """What has been done already, and how it was answered."""
    op.create_table(
        "inbox",
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("location", sa.Text, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def drop_inbox() -> None:
    """Undo `create_inbox`."""
    op.drop_table("inbox")
