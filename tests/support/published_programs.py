"""Runs the programs shown on the pages and in the documents as their readers would."""

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from support.installed_programs import GO_PATH, need_go_client, need_node_packages, need_programs

# The packages that the programs import, in the releases they were tested with.
NODE_PACKAGES = ("amqplib@2.3.1",)

# The programs wait at most five seconds for an answer; interpreters and compilers on a busy machine take the rest.
RUN_SECONDS = 180.0

COMMANDS = {
    "python": [sys.executable, "publish.py"],
    "node": ["node", "publish.mjs"],
    "shell": ["sh", "publish.sh"],
    "go": ["go", "run", "-ldflags=-s -w", "publish.go"],
    "bus": ["sh", "publish-with-bus.sh"],
}


@dataclass(frozen=True)
class ProgramFolder:
    """A folder with the packages that the programs import. Each program runs in its own subfolder."""

    folder: Path

    def __post_init__(self) -> None:
        need_programs("amqp-publish", "amqp-consume")
        need_go_client()
        need_node_packages(self.folder, *NODE_PACKAGES)

    def run(self, language: str, text: str, url: str, path: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program against the broker at this URL. `path` goes first in its PATH."""
        command = COMMANDS[language]
        folder = self.folder / f"{language}-{abs(hash((text, url)))}"
        folder.mkdir(exist_ok=True)
        (folder / command[-1]).write_text(text, encoding="utf-8")
        return subprocess.run(
            command,
            cwd=folder,
            env=environment(url, path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=RUN_SECONDS,
        )


def environment(url: str, path: str = "") -> dict[str, str]:
    """The environment of the programs. Go's module mode is off, since Debian's packages are found by GOPATH."""
    places = [path, sysconfig.get_path("scripts"), os.environ["PATH"]]
    return {
        **os.environ,
        "PATH": os.pathsep.join(place for place in places if place),
        "BUS_URL": url,
        "GO111MODULE": "off",
        "GOPATH": str(GO_PATH),
    }
