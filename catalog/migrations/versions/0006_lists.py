"""Lists: what products are found and sorted by.

The release before goes on with the table. Products that it makes are found once a worker of this release has looked for
them (`catalog.handlers.lists`); one that it gives another name is found by the old one until its next change.
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from catalog.domain.words import sort_key, terms_of
from catalog.tables import PENDING, SortText

revision = "0006"
down_revision = "0005"
compatible = True

BATCH = 1000
_CONDITIONS = {
    "in_stock": "quantity > reserved",
    "sold_out": "quantity <= reserved",
    "without_terms": "terms IS NULL",
}
_SORTS = {"price": "price", "sort_name": "sort_name", "updated": "updated_ms"}
# Beginnings of words that have no more than ten characters have an index of their own: a search for a longer one reads
# all products that have it. A change is one trigger, as the order of two is not defined: the old words leave first.
_FULL_TEXT = """
CREATE VIRTUAL TABLE product_terms USING fts5(
    terms, content='products', content_rowid='id',
    tokenize='ascii', detail='none', columnsize=0, prefix='1 2 3 4 5 6 7 8 9 10'
);
CREATE TRIGGER products_terms_new AFTER INSERT ON products WHEN new.terms IS NOT NULL BEGIN
    INSERT INTO product_terms (rowid, terms) VALUES (new.id, new.terms);
END;
CREATE TRIGGER products_terms_old AFTER DELETE ON products WHEN old.terms IS NOT NULL BEGIN
    INSERT INTO product_terms (product_terms, rowid, terms) VALUES ('delete', old.id, old.terms);
END;
CREATE TRIGGER products_terms_changed AFTER UPDATE OF terms ON products WHEN old.terms IS NOT new.terms BEGIN
    INSERT INTO product_terms (product_terms, rowid, terms)
    SELECT 'delete', old.id, old.terms WHERE old.terms IS NOT NULL;
    INSERT INTO product_terms (rowid, terms) SELECT new.id, new.terms WHERE new.terms IS NOT NULL;
END
"""
_product = sa.table("products", *map(sa.column, ("id", "name", "sku", "tags", "description", "sort_name", "terms")))


def upgrade() -> None:
    op.add_column("products", sa.Column("sort_name", SortText, nullable=False, server_default=""))
    op.add_column("products", sa.Column("terms", sa.Text))
    _fill(op.get_bind())
    for name, column in _SORTS.items():
        op.create_index(f"products_{name}", "products", [column, "id"])
    for name, condition in _CONDITIONS.items():
        where = sa.text(condition)
        op.create_index(f"products_{name}", "products", ["id"], postgresql_where=where, sqlite_where=where)
    if op.get_bind().dialect.name == "postgresql":
        vector = sa.text("array_to_tsvector(string_to_array(terms, ' '))")
        op.create_index("products_terms", "products", [vector], postgresql_using="gin", postgresql_with=PENDING)
        return
    for statement in _FULL_TEXT.split("\nCREATE"):
        if statement.strip():
            op.execute(f"CREATE{statement}")
    op.execute("INSERT INTO product_terms (product_terms) VALUES ('rebuild')")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("products_terms", "products")
    else:
        for name in ("new", "old", "changed"):
            op.execute(f"DROP TRIGGER products_terms_{name}")
        op.execute("DROP TABLE product_terms")
    for name in (*_SORTS, *_CONDITIONS):
        op.drop_index(f"products_{name}", "products")
    op.drop_column("products", "terms")
    op.drop_column("products", "sort_name")


def _fill(connection: sa.Connection) -> None:
    """Make the terms of the products that are there, in batches, in the order of their ids."""
    last: int | None = -1
    while last is not None:
        rows = connection.execute(sa.select(_product).where(_product.c.id > last).order_by(_product.c.id).limit(BATCH))
        changes = [_terms_of(row) for row in rows]
        last = changes[-1]["the_id"] if changes else None
        if changes:
            change: dict[str, Any] = {"sort_name": sa.bindparam("a_sort_name"), "terms": sa.bindparam("a_terms")}
            connection.execute(_product.update().where(_product.c.id == sa.bindparam("the_id")).values(change), changes)


def _terms_of(row: Any) -> dict[str, Any]:
    texts = [text for text in (row.name, row.sku, row.description) if text]
    terms = terms_of(texts, json.loads(row.tags) if row.tags else [])
    return {"the_id": row.id, "a_sort_name": sort_key(row.name), "a_terms": terms}
