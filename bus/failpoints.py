"""Failpoints: named places where a process kills itself when it is told to. For tests of what a death leaves behind."""

import os
import signal
from collections.abc import Mapping

# `BUS_FAILPOINT=worker.after-commit:3` means: SIGKILL when this place is reached for the third time.
VARIABLE = "BUS_FAILPOINT"

# The failpoint of this process and its turn; empty almost always, so places on a message's way look here first.
armed: dict[str, int] = {}


def arm(environment: Mapping[str, str]) -> None:
    """Take the failpoint that the environment names, if any. Raises ValueError for a count that is none."""
    name, _, count = environment.get(VARIABLE, "").partition(":")
    armed.clear()
    if name:
        armed[name] = int(count or "1")


def reach(name: str) -> None:
    """Die here, as of a power cut, if this place and its turn were named."""
    if name in armed:
        armed[name] -= 1
        if not armed[name]:
            os.kill(os.getpid(), signal.SIGKILL)
