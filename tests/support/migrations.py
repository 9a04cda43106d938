"""The Alembic histories of the project."""

from importlib import import_module
from pathlib import Path


def newest_revision(package: str) -> str:
    """The newest revision of a history: its files begin with their numbers."""
    folder = Path(str(import_module(package).__file__)).parent / "versions"
    return max(path.name[:4] for path in folder.glob("[0-9]*.py"))
