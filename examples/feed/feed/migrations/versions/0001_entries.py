"""The first tables."""

import sqlalchemy as sa
from alembic import op
from bus.database.bus_tables import (
    create_dead_letters,
    create_inbox,
    create_outbox,
    create_sealing_keys,
    drop_inbox,
    drop_rest,
    index_inbox,
)

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("entries_of_thing", "entries", ["kind", "id", "number"])
    create_inbox()
    index_inbox()
    create_outbox()
    create_dead_letters()
    create_sealing_keys()


def downgrade() -> None:
    drop_rest()
    drop_inbox()
    op.drop_table("entries")
