"""Replays that this console drives, each in a thread. What they have done is recorded by the services."""

import threading
from dataclasses import dataclass

import structlog
from werkzeug.exceptions import BadRequest

from bus.client.client import Client
from bus.client.replay import Replay, ReplayStopped
from bus.contract.problems import ProblemError
from bus.security.operators import Operator

# At the same time; each costs a thread, and puts load on services that have just been in trouble.
MAX_RUNNING = 10
# Replays that are over and remembered for what stopped them, the last ones.
MOST_OVER = 100

log = structlog.get_logger("bus.console")


class TooManyReplays(BadRequest):
    """As many replays run as this console drives at the same time."""


@dataclass
class Running:
    """A replay. `trouble` says why it ended early; empty while it runs and when it is complete."""

    replay: Replay
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
            self.require_room()
            for key in [key for key, each in self._running.items() if each.is_over][:-MOST_OVER]:
                del self._running[key]
            self._running.pop((service, action), None)  # so that it becomes the last one
            running = self._running[service, action] = Running(replay)
        threading.Thread(target=_drive, args=(running,), name=f"replay-{service}-{action}", daemon=True).start()

    def require_room(self) -> None:
        """Raises TooManyReplays when no other replay can be started now."""
        if sum(not each.is_over for each in list(self._running.values())) >= MAX_RUNNING:
            raise TooManyReplays(f"{MAX_RUNNING} replays run already. Wait until one is over, or stop one.")

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
        for _ in running.replay.run():
            pass
    except (ReplayStopped, ProblemError) as stopped:
        running.trouble = str(stopped)
    except Exception as error:  # a defect: the page must not show a replay that is complete
        log.exception("replay_failed")
        running.trouble = f"The replay failed because of a bug ({type(error).__name__}). The log has more."
    finally:
        running.is_over = True
