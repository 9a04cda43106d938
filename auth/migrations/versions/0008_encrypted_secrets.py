"""Signing keys and the secrets of second factors are encrypted.

Not `compatible`: workers of the release before could not read them.
"""

from alembic import op

from bus.database import encrypt_column

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    encrypt_column(op.get_bind(), "signing_keys", "kid", "private_jwk")
    encrypt_column(op.get_bind(), "totps", "user_id", "secret")


def downgrade() -> None:
    """The secrets stay encrypted: the release before cannot read them."""
