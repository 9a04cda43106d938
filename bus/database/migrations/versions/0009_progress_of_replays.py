"""Which letters of a replay died again is found without reading the letters that it has sent."""

from alembic import op

revision = "0009"
down_revision = "0008"
# Other indexes serve the old queries too.
compatible = True


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL does both after the migration (`concurrent_indexes.py`)
        op.create_index("dead_letters_of_action", "dead_letters", ["action_id", "state", "id", "replayed_as"])
        op.drop_index("dead_letters_action", "dead_letters")
