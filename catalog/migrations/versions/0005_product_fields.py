"""What a product has beside name, price and quantity, and when it was changed.

The release before goes on with the table: it leaves the new fields of products as they are, and does not note when it
changes one.
"""

import sqlalchemy as sa
from alembic import op

from catalog.tables import now_ms

revision = "0005"
down_revision = "0004"
compatible = True


def upgrade() -> None:
    for name in ("sku", "tags", "description", "attributes"):
        op.add_column("products", sa.Column(name, sa.Text))
    op.add_column("products", sa.Column("updated_ms", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(sa.update(sa.table("products", sa.column("updated_ms"))).values(updated_ms=now_ms()))
    op.create_index("products_sku", "products", ["sku"], unique=True)


def downgrade() -> None:
    op.drop_index("products_sku", "products")
    for name in ("updated_ms", "attributes", "description", "tags", "sku"):
        op.drop_column("products", name)
