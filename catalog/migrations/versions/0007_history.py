"""The history of products, and products that are deleted and can be restored.

It is not compatible: the release before would show deleted products, and change products without a word in the history.
What exists already begins its history with the version that it has.
"""

import sqlalchemy as sa
from alembic import op

from bus.columns import Money

revision = "0007"
down_revision = "0006"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_DELETED = sa.text("deleted_ms IS NOT NULL")
_SNAPSHOT = "name, price, quantity, reserved, sku, tags, description, attributes, updated_ms"


def upgrade() -> None:
    op.add_column("products", sa.Column("deleted_ms", sa.BigInteger))
    op.add_column("products", sa.Column("deleted_sku", sa.Text))
    op.create_index("products_deleted", "products", ["deleted_ms"], postgresql_where=_DELETED, sqlite_where=_DELETED)
    op.create_table(
        "product_history",
        sa.Column("id", _ID, primary_key=True, autoincrement=True),
        sa.Column("product_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("made_by", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("price", Money),
        sa.Column("quantity", sa.Integer),
        sa.Column("reserved", sa.Integer),
        sa.Column("sku", sa.Text),
        sa.Column("tags", sa.Text),
        sa.Column("description", sa.Text),
        sa.Column("attributes", sa.Text),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.execute(
        f"INSERT INTO product_history (product_id, version, event, event_id, {_SNAPSHOT}) "  # noqa: S608  # our names
        "SELECT id, version, 'catalog.product_changed', 'product-' || id || '-version-' || version, "
        f"{_SNAPSHOT} FROM products ORDER BY id"
    )
    op.create_index("product_history_version", "product_history", ["product_id", "version"], unique=True)


def downgrade() -> None:
    op.drop_table("product_history")
    op.execute("DELETE FROM products WHERE deleted_ms IS NOT NULL")
    op.drop_index("products_deleted", "products")
    op.drop_column("products", "deleted_sku")
    op.drop_column("products", "deleted_ms")
