"""Part: a running server that a system is made of, as tests and benchmarks see it."""

import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from bus.testing.servers.server import Kind, Server
from bus.testing.waiting import POLL_SECONDS

# The slowest part needs 7 to 15 s on two idle cores; the rest is for a busy machine.
START_SECONDS = 90.0

# A given server is expected to be up; this only bridges a restart of it.
GIVEN_SECONDS = 10.0


class LoginFailed(Exception):
    """The part did not let us in: not up yet, or it refuses the credentials. Carries the driver's words."""


class Part(ABC):
    """What all parts can do. `url` is where it is, `kind` what runs it, `version` what it says it is."""

    url: str
    kind: Kind
    version: str

    def __init__(self, url: str, kind: Kind, server: Server) -> None:
        """Wait until the part lets us in; close `server` and raise TimeoutError when it never does."""
        self.url = url
        self.kind = kind
        self._server = server
        try:
            self._await_login()
        except BaseException:
            server.close()
            raise

    @abstractmethod
    def login(self) -> str:
        """Log in and out again; answer the server's version. Raises LoginFailed."""

    def start(self) -> None:
        """Bring it back after `kill` or `stop`, with its port and data; returns when it lets us in."""
        self._server.start()
        self._await_login()

    def kill(self) -> None:
        """SIGKILL it, as a power cut would."""
        self._server.kill()

    @abstractmethod
    def stop(self) -> None:
        """End it cleanly; `start` brings it back."""

    @property
    def folder(self) -> Path:
        """Where all files of a process of ours are, for reading. Raises NotOurs for any other kind."""
        return self._server.folder

    def pids(self) -> list[int]:
        """Answer the ids of its processes, for measuring them."""
        return self._server.pids()

    def close(self) -> None:
        """End it and remove all that is ours; a given server is left alone."""
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _await_login(self) -> None:
        seconds = GIVEN_SECONDS if self.kind == "given" else START_SECONDS
        deadline = time.monotonic() + seconds
        while True:
            self._server.check()
            try:
                self.version = self.login()
                return
            except LoginFailed as failure:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no log-in within {seconds:g} s: {failure}") from failure
            time.sleep(POLL_SECONDS)
