"""Dead letters are listed and counted without reading their bodies."""

from alembic import op

revision = "0007"
down_revision = "0006"
# Other indexes serve the old queries too.
compatible = True


def upgrade() -> None:
    op.drop_index("dead_letters_groups", "dead_letters")
    columns = ["state", "operation", "reason", "error_class", "last_at", "first_at", "whole", "origin_queue", "id"]
    op.create_index("dead_letters_groups", "dead_letters", columns)
    op.create_index("dead_letters_listed", "dead_letters", ["state", "id"])
