"""Which older releases can work with the database."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
# It only adds a table.
compatible = True


def upgrade() -> None:
    op.create_table(
        "compatible_revisions",
        sa.Column("history", sa.Text, primary_key=True),
        sa.Column("revision", sa.Text, primary_key=True),
    )
