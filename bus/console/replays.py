"""Replays that this console drives, each in a thread. What they have done is recorded by the services."""

import threading
from dataclasses import dataclass

from bus.client.client import Client
from bus.client.dead_letter_replay import Progress, Replay, ReplayStopped
from bus.contract.problems import ProblemError
from bus.security.operators import Operator

# At the same time; each costs a thread, and puts load on services that have just been in trouble.
MAX_RUNNING = 10


class TooManyReplays(Exception):
    """As many replays run as this console drives at the same time."""


@dataclass
class Running:
    """A replay. `trouble` says why it ended early; empty while it runs and when it is complete."""

    replay: Replay
    progress: Progress | None = None
    trouble: str = ""
    is_over: bool = False


class Replays:
    """Starts replays, and knows how far each is, by service and number of the action."""

    def __init__(self, client: Client) -> None:
        self._client, self._lock = client, threading.Lock()
        self._running: dict[tuple[str, int], Running] = {}

    def start(
        self, operator: Operator, service: str, action: int, *, rate: float, growing: bool, body: str | None = None
    ) -> None:
        """Drive a replay, unless this console does already. Raises TooManyReplays."""
        replay = Replay(self._client, operator, service, action, rate=rate, growing=growing, body=body)
        with self._lock:
            found = self._running.get((service, action))
            if found is not None and not found.is_over:
                return
            if sum(not each.is_over for each in self._running.values()) >= MAX_RUNNING:
                raise TooManyReplays(f"{MAX_RUNNING} replays run already. Wait until one is over, or stop one.")
            running = self._running[service, action] = Running(replay)
        threading.Thread(target=_drive, args=(running,), name=f"replay-{service}-{action}", daemon=True).start()

    def of(self, service: str, action: int) -> Running | None:
        """The replay of an action, as far as this console has driven it."""
        return self._running.get((service, action))

    def stop(self, service: str, action: int) -> None:
        """Have a replay end after the batch that is under way."""
        if (running := self.of(service, action)) is not None:
            running.replay.stop()

    def stop_all(self) -> None:
        """The same for all."""
        for running in list(self._running.values()):
            running.replay.stop()


def _drive(running: Running) -> None:
    try:
        for progress in running.replay.run():
            running.progress = progress
    except (ReplayStopped, ProblemError) as stopped:
        running.trouble = str(stopped)
    finally:
        running.is_over = True
