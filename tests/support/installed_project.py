"""A service of another package, installed in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

# mypy reads all libraries anew; the rest takes seconds.
COMMAND_SECONDS = 300


@dataclass(frozen=True)
class Project:
    """The folder of a package, and an environment in which it is installed."""

    folder: Path
    environment: Path

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return str(self.environment / "bin" / "python")

    def install(self) -> None:
        """Make the environment, which finds everything installed in ours, and install the package there in place.

        Needs no network: it is what `pip install -e` does, but uv need not be in the new environment.
        """
        venv.create(self.environment, symlinks=True)
        (packages,) = self.environment.glob("lib/python*/site-packages")
        ours = sysconfig.get_path("purelib")
        # Added by `site`, so that what is installed there in place is found as well.
        (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        into = ["--python", self.python, "--offline", "--no-deps", "--no-build-isolation"]
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *into, "--editable", str(self.folder)]
        subprocess.run(command, check=True, timeout=COMMAND_SECONDS)

    def run(self, *command: str) -> str:
        """Run a Python module in the package's folder; what it printed. Fails when it does."""
        done = subprocess.run(
            [self.python, "-m", *command],
            cwd=self.folder,
            env=environment_without("BUS_"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout


def environment_without(*prefixes: str) -> dict[str, str]:
    """Ours, without what would say where a broker or a database is."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
