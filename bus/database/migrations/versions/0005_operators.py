"""What operators see: the workers of the service, the reasons of their actions, and dead letters counted fast."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
# It adds a table and a column with a default; another index serves the old queries too.
compatible = True


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )
    op.add_column("dead_letter_actions", sa.Column("reason", sa.Text, nullable=False, server_default=""))
    columns = ["state", "operation", "reason", "error_class", "last_at", "first_at"]
    op.create_index("dead_letters_groups", "dead_letters", columns)
    op.drop_index("dead_letters_state", "dead_letters")
