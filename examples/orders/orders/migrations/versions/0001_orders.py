"""The first tables."""

import sqlalchemy as sa
from alembic import op
from bus.columns import Id, Money, UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "order_lines",
        sa.Column("order_id", Id, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("product_id", Id, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("unit_price", Money(places=2, digits=12), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("order_id", "number"),
    )
    op.create_table(
        "orders",
        sa.Column("id", Id, autoincrement=True, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("total", Money(places=2, digits=18), nullable=False),
        sa.Column("placed_at", UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reservation_id", Id, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reservation_id"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("orders")
    op.drop_table("order_lines")
