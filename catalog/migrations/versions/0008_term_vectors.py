"""The terms of products as PostgreSQL compares them, computed once when they are written.

A search that follows another index than that of the terms computed them again for each row that it looked at. Adding
the column writes the table again, which takes about half a minute for a million products. The release before goes on
with it, but searches without an index.
"""

from alembic import op

from catalog.tables import PENDING

revision = "0008"
down_revision = "0007"
compatible = True

_VECTOR = "array_to_tsvector(string_to_array(terms, ' '))"
_WITH = ", ".join(f"{name} = {value}" for name, value in PENDING.items())


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("products_terms", "products")
        op.execute(f"ALTER TABLE products ADD COLUMN term_vector tsvector GENERATED ALWAYS AS ({_VECTOR}) STORED")
        op.execute(f"CREATE INDEX products_terms ON products USING gin (term_vector) WITH ({_WITH})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_column("products", "term_vector")
        op.execute(f"CREATE INDEX products_terms ON products USING gin ({_VECTOR}) WITH ({_WITH})")
