"""The supervisor: a handful of processes that live and end together."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

import structlog

# A process that ends by itself is started again after this pause.
RESTART_SECONDS = 1.0
# After SIGTERM: longer than the drain time of any process.
STOP_SECONDS = 30.0
# Between two looks at the processes.
WATCH_SECONDS = 0.2
# What our commands exit with when a person must mend something first (as click does for bad usage).
NEEDS_A_PERSON = 2

log = structlog.get_logger("bus.supervisor")


class Supervisor:
    """Starts `bus` commands as processes and keeps them running. `environments` adds variables for each."""

    def __init__(self, commands: Sequence[Sequence[str]], environments: Sequence[Mapping[str, str]] = ()) -> None:
        self._commands = [tuple(command) for command in commands]
        self._environments = list(environments) or [{}] * len(self._commands)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start all processes."""
        self._processes = [_start(*each) for each in zip(self._commands, self._environments, strict=True)]

    def watch(self, stopping: threading.Event) -> int:
        """Restart what ends, until `stopping` is set or a process says that a person is needed.

        Returns the exit code for ours.
        """
        while not stopping.wait(WATCH_SECONDS):
            for index, process in enumerate(self._processes):
                if process.poll() == NEEDS_A_PERSON:
                    return NEEDS_A_PERSON
                if process.poll() is not None:
                    log.error("process_ended", command=" ".join(self._commands[index]), code=process.returncode)
                    stopping.wait(RESTART_SECONDS)
                    self._processes[index] = _start(self._commands[index], self._environments[index])
        return 0

    def stop(self) -> None:
        """SIGTERM to all, and SIGKILL to what is still there after the drain time."""
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


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set, for the main thread to wait on."""
    stopping = threading.Event()
    told, tell = os.pipe()
    # A handler runs in the middle of whatever the main thread does, holding its locks: it may only
    # write to the pipe. Event.set() there would wait for ever on a second Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(tell, b"."))

    def wait_for_signal() -> None:
        os.read(told, 1)
        stopping.set()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    return stopping


def ignore_signals() -> None:
    """From here on another Ctrl-C changes nothing: an interpreter that is about to end would die of it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C reaches us alone, and we stop the others in order.
    return subprocess.Popen(  # noqa: S603  # our own
        [sys.executable, "-m", "bus.cli", *command], start_new_session=True, env={**os.environ, **environment}
    )
