"""The Alembic history of auth's database."""
