"""Reservations of stock."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
compatible = True

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_HELD = sa.text("state = 'held'")


def upgrade() -> None:
    op.add_column("products", sa.Column("reserved", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "reservations",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("reservations_held", "reservations", ["expires_ms"], postgresql_where=_HELD, sqlite_where=_HELD)
    op.create_table(
        "reservation_lines",
        sa.Column("reservation_id", _ID, sa.ForeignKey("reservations.id"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("reservation_lines")
    op.drop_table("reservations")
    op.drop_column("products", "reserved")
