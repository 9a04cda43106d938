"""The supervisor: starts several `bus` commands as processes, restarts what ends, and stops them together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import structlog

# The pause before a process that has ended by itself is started again.
RESTART_SECONDS = 1.0
# After SIGTERM: longer than the DRAIN_SECONDS of any process.
STOP_SECONDS = 30.0
# Between two checks of the processes.
WATCH_SECONDS = 0.2
# The exit code of `bus` for errors that the operator must fix before a restart helps (click uses it for bad usage).
NEEDS_OPERATOR = 2

log = structlog.get_logger("bus.supervisor")


class Supervisor:
    """Starts `bus` commands as processes and keeps them running. `environments` adds variables for each of them."""

    def __init__(self, commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] = ()) -> None:
        self._commands = [tuple(command) for command in commands]
        self._environments = list(environments) or [{}] * len(self._commands)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all processes."""
        self._processes = [_start(*each) for each in zip(self._commands, self._environments, strict=True)]

    def watch(self, stopping: threading.Event) -> int:
        """Restart processes that end, until `stopping` is set or one exits with NEEDS_OPERATOR.

        Returns the exit code for this process.
        """
        while not stopping.wait(WATCH_SECONDS):
            for index, process in enumerate(self._processes):
                if process.poll() == NEEDS_OPERATOR:
                    return NEEDS_OPERATOR
                if process.poll() is not None:
                    log.error("process_ended", command=" ".join(self._commands[index]), code=process.returncode)
                    stopping.wait(RESTART_SECONDS)
                    self._processes[index] = _start(self._commands[index], self._environments[index])
        return 0

    def stop(self) -> None:
        """Send SIGTERM to all, and SIGKILL to those that still run after STOP_SECONDS."""
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A new session: Ctrl-C then reaches only this process, which stops the others in order.
    # `-P`: without it, `-m` would import modules of this folder, such as a `queue.py`, instead of Python's or ours.
    return subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, "-P", "-m", "bus.cli", *command], start_new_session=True, env={**os.environ, **environment}
    )
