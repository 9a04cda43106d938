"""The Alembic history of the database of orders."""
