"""Environments: each peer has one of its own beside ours, for their packages do not go together."""

import shutil
import subprocess
import sys
from pathlib import Path

from bus.testing.servers.errors import LOG_LINES_SHOWN
from bus.testing.servers.progress import report

INSTALL_SECONDS = 300


class NotInstallable(Exception):
    """A peer cannot be installed here: its packages are not to be had, or not for this Python."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer's environment, made if it is missing or has other packages. Raises NotInstallable."""
    wanted = Path(__file__).parent / peer / "requirements.txt"
    folder = Path(sys.prefix) / "peers" / peer
    installed, interpreter = folder / wanted.name, folder / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        report(f"installing {peer}")
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "sync", "--python", str(interpreter), "--require-hashes", str(wanted))
        shutil.copyfile(wanted, installed)
    return interpreter


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        finished = subprocess.run(
            [uv, "--quiet", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallable(str(error)) from error
    if finished.returncode != 0:
        raise NotInstallable("\n".join(finished.stdout.splitlines()[-LOG_LINES_SHOWN:]))
