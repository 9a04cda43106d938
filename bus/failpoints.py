"""Failpoints: named places where a process kills or freezes itself, for tests of what that does to the others."""

import os
import signal
from collections.abc import Mapping

# `BUS_FAILPOINT=worker.after-commit:3`: the process sends itself SIGKILL when it reaches this place the third time.
# `worker.after-commit:3:stop`: it sends itself SIGSTOP, and goes on from here when somebody sends it SIGCONT.
VARIABLE = "BUS_FAILPOINT"
_SIGNALS = {"": signal.SIGKILL, "kill": signal.SIGKILL, "stop": signal.SIGSTOP}

# The failpoint of this process and its turn; empty almost always, so places on a message's way look here first.
armed: dict[str, int] = {}
_signal = signal.SIGKILL


def arm(environment: Mapping[str, str]) -> None:
    """Set the failpoint that the environment names, if any. Raises ValueError for a wrong count or signal."""
    global _signal  # noqa: PLW0603  # one failpoint for the process
    name, count, how = (environment.get(VARIABLE, "") + "::").split(":")[:3]
    if how not in _SIGNALS:
        raise ValueError(f"{VARIABLE}: {how!r} is not kill or stop")
    armed.clear()
    _signal = _SIGNALS[how]
    if name:
        armed[name] = int(count or "1")


def reach(name: str) -> None:
    """Die here, as in a power cut, or freeze, if this is the armed place and the armed count is reached."""
    if name in armed:
        armed[name] -= 1
        if not armed[name]:
            os.kill(os.getpid(), _signal)
