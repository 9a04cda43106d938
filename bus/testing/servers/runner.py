"""What runs a server, and how much of it the tests control."""

from pathlib import Path
from signal import Signals
from typing import Literal, NoReturn, Protocol

from bus.testing.servers.errors import NotControllable

Kind = Literal["given", "container", "process"]


class Runner(Protocol):
    """A container, a process that we started, or a server that was given by its URL."""

    @property
    def folder(self) -> Path:
        """The folder with all its files, including its data and its log."""

    def start(self) -> None:
        """Start the server, or start it again with the same port and data. Does not wait until it is ready."""

    def kill(self) -> None:
        """Send SIGKILL; returns when the server is dead."""

    def stop(self, signal: Signals, /) -> None:
        """Send the signal and wait until the server has ended."""

    def pids(self) -> list[int]:
        """Return the ids of its processes, as this machine numbers them."""

    def run(self, *command: str) -> str:
        """Run a command in the server's environment and return its output. Raises RuntimeError when it fails."""

    def check(self) -> None:
        """Raise ServerExited when the server is not running any more."""

    def close(self) -> None:
        """End the server and remove all its files."""


class GivenRunner:
    """A server that was given by its URL: the tests may log in, and nothing more."""

    def __init__(self, variable: str) -> None:
        self._variable = variable

    @property
    def folder(self) -> NoReturn:
        self._refuse()

    def start(self) -> NoReturn:
        self._refuse()

    def kill(self) -> NoReturn:
        self._refuse()

    def stop(self, _signal: Signals, /) -> NoReturn:
        self._refuse()

    def pids(self) -> NoReturn:
        self._refuse()

    def run(self, *_command: str) -> NoReturn:
        self._refuse()

    def check(self) -> None:
        """Do nothing: only a log-in shows whether the server runs."""

    def close(self) -> None:
        """Do nothing: the server is not ours to remove."""

    def _refuse(self) -> NoReturn:
        raise NotControllable(f"the server given by {self._variable} cannot be controlled from here")
