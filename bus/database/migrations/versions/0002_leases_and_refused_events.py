"""Leases, events that a listener's full queue refused, and an index for the dead letters of an action."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_until", sa.Double, nullable=False),
    )
    op.add_column("outbox", sa.Column("refused_at", sa.DateTime(timezone=True)))
    op.drop_index("outbox_unsent", "outbox")
    for name, rows in (
        ("outbox_new", "sent_at IS NULL AND refused_at IS NULL"),
        ("outbox_refused", "sent_at IS NULL AND refused_at IS NOT NULL"),
    ):
        op.create_index(name, "outbox", ["id"], postgresql_where=sa.text(rows), sqlite_where=sa.text(rows))
    op.create_index("dead_letters_action", "dead_letters", ["action_id", "state", "id"])
