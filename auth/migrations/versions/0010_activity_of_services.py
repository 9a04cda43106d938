"""What was done with accounts of services."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
# It only adds a nullable column.
compatible = True


def upgrade() -> None:
    op.add_column("activity", sa.Column("service", sa.Text))


def downgrade() -> None:
    op.drop_column("activity", "service")
