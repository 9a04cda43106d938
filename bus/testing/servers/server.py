"""A server and its lifecycle: what a broker and a database have in common for tests and benchmarks."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from bus.testing.servers.runner import Kind, Runner
from bus.testing.waiting import POLL_SECONDS

# The slowest server needs 7 to 15 s on two idle cores; the rest is for a busy machine.
START_SECONDS = 90.0

# A given server is expected to be up; this only bridges a restart of it.
GIVEN_SECONDS = 10.0


class LoginFailed(Exception):
    """The server is not up yet, or it refuses the credentials. Carries the driver's words."""


class Server(ABC):
    """A running server: `url` says where it is, `kind` what runs it, `version` is what it reports."""

    url: str
    kind: Kind
    version: str

    def __init__(self, url: str, kind: Kind, runner: Runner) -> None:
        """Wait until a log-in succeeds; close `runner` and raise TimeoutError when none does."""
        self.url = url
        self.kind = kind
        self._runner = runner
        try:
            self._await_login()
        except BaseException:
            runner.close()
            raise

    @abstractmethod
    def login(self) -> str:
        """Log in and out again; return the server's version. Raises LoginFailed."""

    def start(self) -> None:
        """Start it again after `kill` or `stop`, with its port and data; returns when a log-in succeeds."""
        self._runner.start()
        self._await_login()

    def kill(self) -> None:
        """Send SIGKILL, as a power cut would end it."""
        self._runner.kill()

    @abstractmethod
    def stop(self) -> None:
        """End it cleanly; `start` starts it again."""

    @property
    def folder(self) -> Path:
        """The folder with all files of a process that we started, to read. Raises NotControllable for other kinds."""
        return self._runner.folder

    def pids(self) -> list[int]:
        """Return the ids of its processes, to measure them."""
        return self._runner.pids()

    def close(self) -> None:
        """End it and remove what we made; a given server keeps running."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _await_login(self) -> None:
        seconds = GIVEN_SECONDS if self.kind == "given" else START_SECONDS
        deadline = time.monotonic() + seconds
        while True:
            self._runner.check()
            try:
                self.version = self.login()
                return
            except LoginFailed as failure:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no log-in within {seconds:g} s: {failure}") from failure
            time.sleep(POLL_SECONDS)
