"""Mails, registrations that wait for one, and new addresses of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
# Workers of the release before do not read what is new here.
compatible = True

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("users", sa.Column("new_email", sa.Text))
    op.add_column("users", sa.Column("new_email_key", sa.Text))
    op.create_index("users_new_email_key", "users", ["new_email_key"])
    op.create_table(
        "registrations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("username_key", sa.Text, nullable=False, unique=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_key", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
    )
    op.create_index("registrations_email_key", "registrations", ["email_key"])
    op.create_table(
        "mails",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("address_key", sa.Text, nullable=False),
        sa.Column("user_id", _ID, sa.ForeignKey("users.id", ondelete="CASCADE")),
        sa.Column("registration_id", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("ends_at", _TIME, nullable=False),
        sa.Column("next_at", _TIME, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("used_at", _TIME),
    )
    op.create_index("mails_state", "mails", ["state", "next_at"])
    op.create_index("mails_user_id", "mails", ["user_id"])
    op.create_index("mails_ends_at", "mails", ["ends_at"])


def downgrade() -> None:
    op.drop_table("mails")
    op.drop_table("registrations")
    op.drop_index("users_new_email_key", "users")
    op.drop_column("users", "new_email_key")
    op.drop_column("users", "new_email")
