"""The Alembic history of the database of feed."""
