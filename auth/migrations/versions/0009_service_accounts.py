"""Service accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
# It only adds a table.
compatible = True


def upgrade() -> None:
    op.create_table(
        "service_accounts",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("secret_hash", sa.LargeBinary, nullable=False),
        sa.Column("roles", sa.Text, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("service_accounts")
