"""Installs the programs that tests need and the machine lacks, or skips these tests."""

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
    "promtool": "prometheus",
}

# Go's AMQP client as Debian packages it: sources, which `go build` finds through this GOPATH without a network.
GO_CLIENT = "golang-github-rabbitmq-amqp091-go-dev"
GO_PATH = Path("/usr/share/gocode")

# Two small packages; the rest is for a slow network and a busy machine.
NPM_SECONDS = 300.0


def need_programs(*programs: str) -> None:
    """Install missing programs, as root on Debian; otherwise fail in CI, and skip with a visible reason elsewhere."""
    with apt.nothing_half_installed():
        missing = sorted({PACKAGES[program] for program in programs if shutil.which(program) is None})
    if missing:
        _install(*missing)


def need_node_packages(folder: Path, *packages: str) -> None:
    """Install npm packages into a folder, for programs that run there; otherwise as `need_programs`."""
    need_programs("node", "npm")
    command = ["npm", "install", "--no-audit", "--no-fund", *packages]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS, check=False)
    if run.returncode != 0:
        _fail_or_skip(" and ".join(packages), run.stderr.strip()[-300:])


def need_go_client() -> None:
    """Install Go and its AMQP client; otherwise as `need_programs`."""
    need_programs("go")
    with apt.nothing_half_installed():
        is_there = (GO_PATH / "src/github.com/rabbitmq/amqp091-go").exists()
    if not is_there:
        _install(GO_CLIENT)


def _install(*packages: str) -> None:
    try:
        apt.install(*packages)
    except ProvisioningFailed as reason:
        _fail_or_skip(" and ".join(packages), str(reason))


def _fail_or_skip(names: str, reason: str) -> None:
    if "CI" in os.environ:
        pytest.fail(f"CI must have {names}: {reason}", pytrace=False)
    pytest.skip(f"NOT TESTED WITHOUT {names.upper()}: {reason}")
