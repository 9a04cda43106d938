"""The Alembic history of catalog's database."""
