"""The supervisor: starts several `bus` commands as processes, restarts what ends, and stops them together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from bus.parent import SUPERVISOR

# The pause before a process that has ended by itself is started again.
RESTART_SECONDS = 1.0
# The same for one that an operator must repair something for: it goes on by itself once that is done.
REPAIR_SECONDS = 5.0
# A process that has run for so long can work here: what stops it later came later, and may go.
RAN_SECONDS = 60.0
# After SIGTERM: longer than the DRAIN_SECONDS of any process.
STOP_SECONDS = 30.0
# After SIGKILL.
KILLED_SECONDS = 5.0
# Between two checks of the processes.
WATCH_SECONDS = 0.2
# The exit code of `bus` for errors that the operator must fix before a restart helps (click uses it for bad usage).
NEEDS_OPERATOR = 2

PROGRAM = (sys.executable, "-P", "-m", "bus.cli")

log = structlog.get_logger("bus.supervisor")


class Supervisor:
    """Starts `bus` commands as processes and keeps them running. `environments` adds variables for each of them.

    The processes end with this one, also when it is killed: see `end_with_supervisor`.
    """

    def __init__(self, commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] = ()) -> None:
        given = list(environments) or [{}] * len(commands)
        self._children = [_Child(tuple(each), environment) for each, environment in zip(commands, given, strict=True)]

    def start(self) -> None:
        """Start all processes."""
        for child in self._children:
            child.start()

    def watch(self, stopping: threading.Event) -> int:
        """Restart processes that end, until `stopping` is set.

        Returns the exit code for this process: NEEDS_OPERATOR when one that has never run for RAN_SECONDS ends with it.
        One that has run is started again whatever it ended with, as the others still run.
        """
        while not stopping.wait(WATCH_SECONDS):
            for child in self._children:
                code = child.look_after()
                if code == NEEDS_OPERATOR and not child.has_run:
                    return NEEDS_OPERATOR
        return 0

    def stop(self) -> None:
        """Send SIGTERM to all, and SIGKILL to those that still run after STOP_SECONDS."""
        deadline = time.monotonic() + STOP_SECONDS
        processes = [child.process for child in self._children if child.process is not None]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                with suppress(subprocess.TimeoutExpired):  # it waits inside the kernel, and ends after that
                    process.wait(KILLED_SECONDS)


class _Child:
    """One command, and its process. `has_run`: it, or one before it, ran for RAN_SECONDS."""

    def __init__(self, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self._command, self._environment = command, environment
        self.process: subprocess.Popen[bytes] | None = None
        self.has_run = False
        self._started_at = 0.0
        self._restart_at: float | None = None

    def start(self) -> None:
        # A new session: Ctrl-C then reaches only this process, which stops the others in order.
        # `-P`: without it, `-m` would import modules of this folder, such as a `queue.py`, instead of Python's or ours.
        self.process = subprocess.Popen(  # noqa: S603  # our own command
            [*PROGRAM, *self._command],
            start_new_session=True,
            env={**os.environ, **self._environment, SUPERVISOR: str(os.getpid())},
        )
        self._started_at, self._restart_at = time.monotonic(), None

    def look_after(self) -> int | None:
        """Start it again some time after it has ended; its exit code at the moment that is noticed."""
        now = time.monotonic()
        if self._restart_at is not None:
            if now >= self._restart_at:
                self.start()
            return None
        code = None if self.process is None else self.process.poll()
        if code is None:
            self.has_run = self.has_run or now - self._started_at >= RAN_SECONDS
            return None
        log.error("process_ended", command=" ".join(self._command), code=code)
        self._restart_at = now + (REPAIR_SECONDS if code == NEEDS_OPERATOR else RESTART_SECONDS)
        return code
