"""Nothing: the tables that this revision made are in the library's history now, which runs first.

It stays because databases are at it or before it. docs/decisions/0016-the-library-owns-its-migrations.md
"""

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Nothing to do."""


def downgrade() -> None:
    """Nothing to undo."""
