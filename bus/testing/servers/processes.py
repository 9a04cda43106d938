"""A server program that we start; it is ended by its process id, and ends when this process does."""

import contextlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, Signals

import psutil  # type: ignore[import-untyped,unused-ignore]

from bus.testing.servers.errors import LOG_LINES_SHOWN, ServerExited
from bus.testing.servers.parent_watch import ParentWatch
from bus.testing.waiting import wait_until

# A clean stop takes 1 to 2 s; a broker with much to write takes longer, and a busy machine longer still.
STOP_SECONDS = 60.0

# After SIGKILL only the kernel has work left, on a machine that may stand still.
KILL_SECONDS = 30.0


@dataclass
class Process:
    """One program in the background; its output goes to a file in `folder`, never to our own output."""

    name: str
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    user: int | None = None
    group: int | None = None
    # The signal that ends it when this process has ended without stopping it.
    last_signal: Signals = SIGKILL
    _running: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _parent_watch: ParentWatch | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it; returns before it is ready."""
        self._launch()

    def finish(self, seconds: float) -> None:
        """Run it to its end. Raises ServerExited, with the end of the log, when it fails."""
        failed = self._launch().wait(seconds) != 0
        self._forget(KILL_SECONDS)
        if failed:
            raise ServerExited(f"{self.name} failed:\n{self._end_of_log()}")

    def pids(self) -> list[int]:
        """Return the ids of the program and of all its descendants; an empty list when it does not run."""
        return [process.pid for process in self._family()]

    def ended(self) -> int | None:
        """Return the exit code of a program that has ended by itself: minus the signal's number if a signal did it."""
        return None if self._running is None else self._running.poll()

    def kill(self) -> None:
        """SIGKILL the program and its descendants; returns when they are gone."""
        family = self._family()
        for process in family:
            _kill_one(process)
        self._forget(KILL_SECONDS)
        wait_until(lambda: not any(_lives(process) for process in family), KILL_SECONDS, f"{self.name} is dead")

    def stop(self, signal: Signals) -> None:
        """Send the signal and wait for the end. When it takes too long, sends SIGKILL and raises TimeoutError."""
        if self._running is None:
            return
        self._running.send_signal(signal)
        try:
            self._forget(STOP_SECONDS)
        except subprocess.TimeoutExpired as expired:
            self.kill()
            raise TimeoutError(f"{self.name} did not end within {STOP_SECONDS:g} s of {signal.name}") from expired

    def check(self) -> None:
        """Raise ServerExited, with the end of the log, when the program is not running."""
        if self._running is None or self._running.poll() is not None:
            raise ServerExited(f"{self.name} is not running; the end of its log:\n{self._end_of_log()}")

    def _launch(self) -> subprocess.Popen[bytes]:
        """Start it in a group of its own, so that Ctrl-C in a terminal reaches only us, and that is watched already."""
        parent_watch = ParentWatch(self.last_signal, self.folder)
        with self._log.open("ab") as log:
            running = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=parent_watch.group,
                user=self.user,
                group=self.group,
                extra_groups=None if self.group is None else [self.group],
            )
        self._running = running
        self._parent_watch = parent_watch
        return running

    @property
    def _log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def _family(self) -> list[psutil.Process]:
        if self._running is None or self._running.poll() is not None:
            return []
        try:
            program = psutil.Process(self._running.pid)
            return [program, *program.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _forget(self, seconds: float) -> None:
        if self._running is not None:
            self._running.wait(seconds)
            self._running = None
        if self._parent_watch is not None:
            self._parent_watch.release()
            self._parent_watch = None

    def _end_of_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])


def _kill_one(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):  # it has ended with its parent
        process.kill()


def _lives(process: psutil.Process) -> bool:
    """Whether it can still do anything; a dead orphan may stay in the process table until init collects it."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
