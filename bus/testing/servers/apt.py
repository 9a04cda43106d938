"""Installs Debian packages for a test run, when root runs it, without starting their services."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bus.testing.servers.errors import ProvisioningFailed
from bus.testing.servers.progress import report

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
    """Within this block no other test run installs anything, so a package that is found is completely installed."""
    if os.geteuid() != 0:  # only root can install, or open the lock
        yield
        return
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # held at most for one installation, which has a limit
        yield


def check_installable(*packages: str) -> None:
    """Raise ProvisioningFailed when we cannot install these packages on this machine."""
    names = " and ".join(packages)
    if shutil.which("apt-get") is None or not Path("/etc/debian_version").exists():
        raise ProvisioningFailed(f"{names} is not installed, and this machine does not run Debian")
    if os.geteuid() != 0:
        raise ProvisioningFailed(f"{names} is not installed, and only root can install it")


def install(*packages: str) -> None:
    """Install these packages, and report it in one line; refreshes apt's lists if needed.

    Raises ProvisioningFailed.
    """
    check_installable(*packages)
    report(f"installing {' '.join(packages)} with apt-get")
    command = ("install", "-y", "--no-install-recommends", *packages)
    with _no_services():
        if _apt_get(*command).returncode == 0:
            return
        _apt_get("update")
        result = _apt_get(*command)
    if result.returncode != 0:
        output = "; ".join(result.stdout.splitlines()[-APT_LINES_SHOWN:])
        raise ProvisioningFailed(f"apt-get install {' '.join(packages)} failed: {output}")


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
    """Keep packages from starting their services; restores the machine's own policy afterwards.

    One process at a time, so that none saves the policy of another run as the machine's own.
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
