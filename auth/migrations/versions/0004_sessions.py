"""Sessions, refresh tokens, signing keys, throttles and activity; more about users."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("users", sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("users", sa.Column("display_name", sa.Text, nullable=False, server_default=""))
    op.add_column("users", sa.Column("roles", sa.Text, nullable=False, server_default=""))
    op.add_column("users", sa.Column("disabled_at", _TIME))
    op.add_column("users", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("user_id", _ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=False),
    )
    op.create_index("sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("used_at", _TIME),
    )
    op.create_index("refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_table(
        "throttles",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("waits_until", _TIME, nullable=False),
    )
    op.create_table(
        "activity",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("user_id", _ID, nullable=False),
        sa.Column("by_id", _ID),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("activity_user_id", "activity", ["user_id", "id"])
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("private_jwk", sa.Text, nullable=False),
        sa.Column("x", sa.Text, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("retired_at", _TIME),
    )


def downgrade() -> None:
    for table in ("signing_keys", "activity", "throttles", "refresh_tokens", "sessions"):
        op.drop_table(table)
    for column in ("version", "disabled_at", "roles", "display_name", "email_verified"):
        op.drop_column("users", column)
