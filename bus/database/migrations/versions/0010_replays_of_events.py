"""Events that are sent again for an operator, and how far that is."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
# It adds a table.
compatible = True

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "event_replays",
        sa.Column("action_id", _Id, primary_key=True, autoincrement=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("since", _Time, nullable=False),
        sa.Column("until", _Time, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("after_kept", sa.BigInteger, nullable=False),
        sa.Column("after_past", sa.BigInteger, nullable=False),
        sa.Column("sent", sa.BigInteger, nullable=False),
        sa.Column("reached", _Time),
        sa.Column("is_more", sa.Boolean, nullable=False),
        sa.Column("is_over", sa.Boolean, nullable=False),
    )
