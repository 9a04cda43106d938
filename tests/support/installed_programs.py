"""What tests that need a program of the machine do where it is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bus.testing.servers import apt
from bus.testing.servers.errors import ProvisioningFailed

PACKAGES = {
    "amqp-publish": "amqp-tools",
    "amqp-consume": "amqp-tools",
    "chromium": "chromium",
    "curl": "curl",
    "go": "golang-go",
    "node": "nodejs",
    "npm": "npm",
}

# Go's client as Debian packages it: sources, which `go build` finds with this GOPATH and without a network.
GO_CLIENT = "golang-github-rabbitmq-amqp091-go-dev"
GO_PATH = Path("/usr/share/gocode")

# Two small packages; the rest is for a slow network and a busy machine.
NPM_SECONDS = 300.0


def need_programs(*programs: str) -> None:
    """Install what is missing, as root on Debian; else fail in CI, and skip loudly elsewhere."""
    with apt.nothing_half_installed():
        missing = sorted({PACKAGES[program] for program in programs if shutil.which(program) is None})
    if missing:
        _install(*missing)


def need_node_packages(folder: Path, *packages: str) -> None:
    """Install packages of npm into a folder, for the programs that are run there; where none can be had, as above."""
    need_programs("node", "npm")
    command = ["npm", "install", "--no-audit", "--no-fund", *packages]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
    if run.returncode != 0:
        _do_without(" and ".join(packages), run.stderr.strip()[-300:])


def need_go_client() -> None:
    """Install Go and its AMQP client; where they cannot be had, as above."""
    need_programs("go")
    with apt.nothing_half_installed():
        is_there = (GO_PATH / "src/github.com/rabbitmq/amqp091-go").exists()
    if not is_there:
        _install(GO_CLIENT)


def _install(*packages: str) -> None:
    try:
        apt.install(*packages)
    except ProvisioningFailed as reason:
        _do_without(" and ".join(packages), str(reason))


def _do_without(what: str, reason: str) -> None:
    if "CI" in os.environ:
        pytest.fail(f"{what} expected in CI: {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED WITHOUT {what.upper()}: {reason}")
