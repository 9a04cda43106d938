"""A member: one process of the system under test."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

import psutil

from bus.testing.servers.processes import Process

# A readiness check of the front end itself gives up sooner.
READY_SECONDS = 2.0


class Member:
    """A `bus` command as a process. While it is kept, it is started again whenever it ends, as a supervisor would."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str], *command: str) -> None:
        self.name = name
        self.exit_codes: list[int] = []
        self._log = folder / f"{name}.log"
        self._process = Process(name, command, folder, environment)
        self._is_kept = False
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start it and keep it."""
        with self._lock:
            self._process.start()
            self._is_kept = True

    def change(self, **environment: str) -> None:
        """Set variables for its next start."""
        self._process.environment = {**self._process.environment, **environment}

    def look_after(self) -> None:
        """Start it again, should it have ended while it is kept."""
        with self._lock:
            code = self._process.ended()
            if self._is_kept and code is not None:
                self._forget(code)
                self._process.start()

    def kill(self) -> None:
        """SIGKILL it, and start it again at once if it is kept."""
        with self._lock:
            self._process.kill()
            self.exit_codes.append(-SIGKILL)
            if self._is_kept:
                self._process.start()

    def freeze(self) -> None:
        """SIGSTOP it and its descendants."""
        self._signal_all(SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT it and its descendants."""
        self._signal_all(SIGCONT)

    @property
    def is_frozen(self) -> bool:
        """Whether one of its processes is stopped."""
        return any(process.status() == psutil.STATUS_STOPPED for process in self.processes())

    def end(self) -> None:
        """SIGKILL it, for good."""
        with self._lock:
            self._is_kept = False
            self._process.kill()

    def terminate(self) -> float:
        """SIGTERM it, for good; the seconds until it has ended. Raises TimeoutError."""
        with self._lock:
            self._is_kept = False
            started = time.monotonic()
            self._process.stop(SIGTERM)
            return time.monotonic() - started

    def has_ended(self) -> bool:
        """Whether it has ended by itself, and was not started again."""
        return self._process.ended() is not None

    @property
    def deaths(self) -> int:
        """How often a SIGKILL ended it, its own among them."""
        return self.exit_codes.count(-SIGKILL)

    def events(self, name: str) -> Iterator[dict[str, object]]:
        """The lines of its log for one event, over all its lives."""
        for line in self._log.read_text(errors="replace").splitlines():
            if f'"{name}"' in line:
                event: dict[str, object] = json.loads(line)
                if event.get("event") == name:
                    yield event

    def processes(self) -> list[psutil.Process]:
        """The process and its descendants."""
        return [psutil.Process(pid) for pid in self._process.pids()]

    def _signal_all(self, number: int) -> None:
        for process in self.processes():
            process.send_signal(number)

    def _forget(self, code: int) -> None:
        self._process.stop(SIGTERM)  # has ended: this only clears up
        self.exit_codes.append(code)


class FrontEnd(Member):
    """A front end; `url` is where it listens."""

    url: str

    def is_ready(self) -> bool:
        """Whether a message goes through it, the queue and a worker, and back."""
        try:
            with urllib.request.urlopen(f"{self.url}/health/ready", timeout=READY_SECONDS) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
