"""`alembic revision --autogenerate`: what a service's tables have and its revisions lack becomes the next revision."""

import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from bus.cli.new import write_skeleton
from bus.database import Database
from bus.database.migrate import migrate

pytest_plugins = ["bus.testing.fixtures"]

ROOT = Path(__file__).parents[3]
HISTORIES = {"auth": ROOT / "auth", "catalog": ROOT / "catalog", "feed": ROOT / "examples" / "feed" / "feed"}

MORE_TABLES = """
from bus.columns import Money, UtcDateTime

note.append_column(Column("price", Money(places=3), nullable=False, server_default="0"))
note.append_column(Column("read_at", UtcDateTime, index=True))
line = Table(
    "lines",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("note_id", Id, nullable=False),
    sqlite_autoincrement=True,
)
"""


@pytest.mark.parametrize("service", HISTORIES)
def test_the_revisions_of_our_services_lack_nothing(service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(HISTORIES[service] / "migrations"))
    command.check(config)  # raises when the tables have something that the revisions have not made


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_new_revision_makes_what_the_tables_have_more(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"revised_{kind}"
    folder = write_skeleton(name, tmp_path, 5002)
    with (folder / name / "tables.py").open("a") as tables:
        tables.write(MORE_TABLES)
    monkeypatch.syspath_prepend(str(folder))
    command.revision(Config(toml_file=folder / "pyproject.toml"), "More", autogenerate=True, rev_id="0002")
    written = (folder / name / "migrations" / "versions" / "0002_more.py").read_text()
    imports = "import sqlalchemy as sa\nfrom alembic import op\nfrom bus.columns import Id\n"
    assert written.startswith(f'"""More."""\n\n{imports}')
    assert '\n\nrevision = "0002"\n' in written
    database = Database(f"sqlite:///{tmp_path}/x.db" if kind == "sqlite" else request.getfixturevalue("database_url"))
    assert migrate(database, f"{name}.migrations") == "0002"
    metadata = sys.modules[f"{name}.tables"].metadata
    with database.reading() as transaction:
        ours = set(metadata.tables) | {"alembic_version"}
        context = MigrationContext.configure(
            transaction.connection,
            opts={"include_name": lambda named, what, _parents: what != "table" or named in ours},
        )
        assert compare_metadata(context, metadata) == []
    database.close()
