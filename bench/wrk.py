"""Wrk: the program that loads a front end and measures how fast it answers."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bus.testing.servers import apt
from bus.testing.servers.errors import ProvisioningFailed

CONNECTIONS = 16
# An answer that takes longer than this counts as a failure. With a thousand clients each waits for all the others.
ANSWER_SECONDS = 20
# wrk ends by itself; this is for one that does not.
PATIENCE_SECONDS = 60

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What wrk saw. `failures` counts the answers of status 400 and above, and broken or silent connections."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    failures: int


def find_wrk() -> str:
    """The program, installed if it must be and can be. Raises ProvisioningFailed."""
    if shutil.which("wrk") is None:
        try:
            apt.install("wrk")
        except ProvisioningFailed as reason:
            raise ProvisioningFailed(f"No load can be made: install wrk ({reason}).") from reason
    return shutil.which("wrk") or "wrk"


def load(
    wrk: str,
    url: str,
    scenario: str,
    seconds: int,
    mark: str,
    known: int,
    connections: int = CONNECTIONS,
    token: str = "",
) -> Load:
    """Send requests over all connections, one after another on each. `mark` keeps the names of a run its own.

    `known` is how many products or accounts there are to ask for. A `token` goes with requests that have a body.
    """
    how = ("--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s")
    patience = ("--timeout", f"{ANSWER_SECONDS}s")
    finished = subprocess.run(
        [wrk, *how, *patience, "--script", str(SCRIPT), url, "--", scenario, mark, str(known), token],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + PATIENCE_SECONDS,
    )
    return Load(**json.loads(finished.stdout.splitlines()[-1]))
