"""Server: what runs a part, and how much of it is in our hands."""

from pathlib import Path
from signal import Signals
from typing import Literal, NoReturn, Protocol

from bus.testing.servers.unavailable import NotOurs

Kind = Literal["given", "container", "process"]


class Server(Protocol):
    """A container, a process of ours, or a server that somebody gave us."""

    @property
    def folder(self) -> Path:
        """Where all its files are, its data and its log among them."""

    def start(self) -> None:
        """Bring it up, at first or again: same port, same data. Does not wait until it answers."""

    def kill(self) -> None:
        """SIGKILL; returns when it is dead."""

    def stop(self, signal: Signals, /) -> None:
        """Ask it to end and wait until it did."""

    def pids(self) -> list[int]:
        """Answer the ids of its processes, as this machine counts them."""

    def run(self, *command: str) -> str:
        """Run a command in its surroundings and answer what it wrote; raise RuntimeError when it failed."""

    def check(self) -> None:
        """Raise ServerEnded when it is not running any more."""

    def close(self) -> None:
        """End it and remove everything of it."""


class Given:
    """A server of somebody else: we may log in, and nothing more."""

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
        """Nothing to see from here: only a log-in tells."""

    def close(self) -> None:
        """Nothing of it is ours to remove."""

    def _refuse(self) -> NoReturn:
        raise NotOurs(f"the server named by {self._variable} is not ours to control")
