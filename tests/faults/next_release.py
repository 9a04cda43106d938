"""The next release of the catalog: this one, with one more revision that is compatible with it."""

import os
import shutil
import subprocess
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

import catalog
from faults.system import BUS, System, python_path

MIGRATE_SECONDS = 90.0
REVISION = '''"""A column that the release before does not know of."""

import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{newest}"
compatible = True


def upgrade() -> None:
    op.add_column("products", sa.Column("colour", sa.Text, nullable=False, server_default="none"))
'''


class NextRelease:
    """It is beside the system's other files; `environment` makes a process one of it."""

    def __init__(self, system: System) -> None:
        folder = system.folder / "next-release"
        migrations = folder / "catalog" / "migrations"
        shutil.copytree(Path(catalog.__file__).parent, migrations.parent, ignore=shutil.ignore_patterns("__pycache__"))
        config = Config()
        config.set_main_option("script_location", str(migrations))
        newest = ScriptDirectory.from_config(config).get_current_head()
        (migrations / "versions" / "next.py").write_text(REVISION.format(newest=newest))
        self.environment = {"PYTHONPATH": python_path(system.folder, before=[folder])}
        self._folder, self._database_url = system.folder, system.database_url

    def migrate(self) -> None:
        """Run its `bus migrate`. Raises CalledProcessError."""
        environment = {**os.environ, **self.environment, "CATALOG_DATABASE_URL": self._database_url}
        command = [*BUS, "migrate", "catalog"]
        # In another folder than the project's: Python prefers the packages of the one in which it is started.
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=environment,
            timeout=MIGRATE_SECONDS,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout == "catalog: at revision next\n", done.stdout
