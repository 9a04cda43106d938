"""Where the client was that did something with an account."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
compatible = True


def upgrade() -> None:
    op.add_column("activity", sa.Column("address", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("activity", "address")
