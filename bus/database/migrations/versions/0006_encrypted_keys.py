"""Sealing keys and the keys of the service are encrypted.

Not `compatible`: workers of the release before could not read them.
"""

from alembic import op

from bus.database.encryption import encrypt_column

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    encrypt_column(op.get_bind(), "sealing_keys", "kid", "private_jwk")
    encrypt_column(op.get_bind(), "service_keys", "name", "secret")
