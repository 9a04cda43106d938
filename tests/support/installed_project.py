"""A service in its own package, installed in its own environment."""

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

# mypy reads all libraries where it has no cache; the rest takes seconds.
COMMAND_SECONDS = 300


@dataclass(frozen=True)
class Project:
    """The folder of a package, and the environment in which it is installed."""

    folder: Path
    environment: Path

    @property
    def python(self) -> str:
        """The environment's interpreter."""
        return str(self.environment / "bin" / "python")

    def install(self) -> None:
        """Create the environment, which finds everything installed in ours, and install the package there in place.

        As `pip install -e` does, but without a network, and without uv in the new environment.
        """
        venv.create(self.environment, symlinks=True)
        (packages,) = self.environment.glob("lib/python*/site-packages")
        ours = sysconfig.get_path("purelib")
        # Added by `site`, so that packages installed in place in our environment are found too.
        (packages / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        into = ["--python", self.python, "--offline", "--no-deps", "--no-build-isolation"]
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", *into, "--editable", str(self.folder)]
        subprocess.run(command, check=True, timeout=COMMAND_SECONDS)

    def run(self, *command: str) -> str:
        """Run a Python module in the package's folder; return its output. Fails when the module fails."""
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
    """Our environment variables, without those that begin with a prefix."""
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
