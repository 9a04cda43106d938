"""Apt: Debian packages, installed for a test run by root and never left running as a service."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bus.testing.servers.notice import notice
from bus.testing.servers.unavailable import Unavailable

# Debian asks this program before it starts a packaged service; 101 means "forbidden".
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_KEPT = POLICY.with_name("policy-rc.d.before-bus-testing")
LOCK = Path("/var/lock/bus-testing-apt")
FORBID = "#!/bin/sh\nexit 101\n"

# Another run of apt may hold the lock for as long as one installation takes.
LOCK_SECONDS = 300

# A hundred megabytes over a slow line, after the lock. Ending apt half-way breaks the machine's packages.
INSTALL_SECONDS = 1800.0

APT_LINES_SHOWN = 5


@contextlib.contextmanager
def nothing_half_installed() -> Iterator[None]:
    """Within this block no other process of ours installs anything, so what is found there is there wholly."""
    if os.geteuid() != 0:  # who cannot install, has no lock either
        yield
        return
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held at most for one installation, which has a limit
        yield


def check_installable(*packages: str) -> None:
    """Raise Unavailable when these packages cannot be installed by us on this machine."""
    wanted = " and ".join(packages)
    if shutil.which("apt-get") is None or not Path("/etc/debian_version").exists():
        raise Unavailable(f"{wanted} is not installed, and this is no Debian")
    if os.geteuid() != 0:
        raise Unavailable(f"{wanted} is not installed, and only root can install it")


def install(*packages: str) -> None:
    """Install these packages and say so in one line; refresh the lists if that is needed. Raises Unavailable."""
    check_installable(*packages)
    notice(f"installing {' '.join(packages)} with apt-get")
    command = ("install", "-y", "--no-install-recommends", *packages)
    with _no_services():
        if _apt_get(*command).returncode == 0:
            return
        _apt_get("update")
        result = _apt_get(*command)
    if result.returncode != 0:
        last_words = "; ".join(result.stdout.splitlines()[-APT_LINES_SHOWN:])
        raise Unavailable(f"apt-get install {' '.join(packages)} failed: {last_words}")


def _apt_get(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Forbid packages to start their services, and put back whatever policy the machine had.

    One process at a time, lest one takes the policy of another for the machine's.
    """
    with nothing_half_installed(), _policy():
        yield


@contextlib.contextmanager
def _policy() -> Iterator[None]:
    if POLICY.exists():
        POLICY.rename(POLICY_KEPT)
    POLICY.write_text(FORBID)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
        if POLICY_KEPT.exists():
            POLICY_KEPT.rename(POLICY)
