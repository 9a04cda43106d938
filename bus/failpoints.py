"""Failpoints: named places where a process kills itself, for tests of what it leaves behind."""

import os
import signal
from collections.abc import Mapping

# `BUS_FAILPOINT=worker.after-commit:3`: the process sends itself SIGKILL when it reaches this place the third time.
VARIABLE = "BUS_FAILPOINT"

# The failpoint of this process and its turn; empty almost always, so places on a message's way look here first.
armed: dict[str, int] = {}


def arm(environment: Mapping[str, str]) -> None:
    """Set the failpoint that the environment names, if any. Raises ValueError when the count is not a number."""
    name, _, count = environment.get(VARIABLE, "").partition(":")
    armed.clear()
    if name:
        armed[name] = int(count or "1")


def reach(name: str) -> None:
    """Die here, as in a power cut, if this is the armed place and the armed count is reached."""
    if name in armed:
        armed[name] -= 1
        if not armed[name]:
            os.kill(os.getpid(), signal.SIGKILL)
