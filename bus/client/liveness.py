"""Liveness: whether a service answers, asked before anything is entrusted to it.

A command handed to a queue without a worker, or to a worker without its database, would be accepted
and then wait. Whoever calls is better served by a quick no. So a service that was not heard for a
moment is pinged first; one that answers all the time costs nothing.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable

from bus.contract.problems import Problem, ReplyTimeout, Unavailable

# A sign of life is trusted for this long.
FRESH_SECONDS = 1.0
# A ping that takes longer than this counts as silence: the caller gets its 503 within a second.
PING_SECONDS = 0.6
# After silence nobody asks again for this long: many callers cost one ping.
SILENCE_SECONDS = 0.2

Ping = Callable[[str, float], None]


class Liveness:
    """When each service was last heard. `ping(service, seconds)` raises a ProblemError for silence.

    `heard_at` has the time of the last answer of each service (time.monotonic()), for the client to note.
    """

    def __init__(self, ping: Ping) -> None:
        self._ping = ping
        self.heard_at: dict[str, float] = {}
        # The reason alone: an exception holds the frames it went through, and so all who were told it.
        self._silent: dict[str, tuple[float, Problem]] = {}
        self._locks: dict[str, threading.Lock] = defaultdict(threading.Lock)

    def doubt(self, service: str) -> None:
        """The service has just said that it cannot work: ask before trusting it again."""
        self.heard_at.pop(service, None)

    def check(self, service: str, seconds: float) -> None:
        """Return when the service is alive; asks it, at most `seconds`, when that is not known.

        Raises Unavailable.
        """
        if self._is_fresh(service):
            return
        with self._locks[service]:
            if not self._is_fresh(service):
                self._ask(service, min(seconds, PING_SECONDS))

    def _is_fresh(self, service: str) -> bool:
        return time.monotonic() - self.heard_at.get(service, -FRESH_SECONDS) < FRESH_SECONDS

    def _ask(self, service: str, seconds: float) -> None:
        silent_at, reason = self._silent.get(service, (-SILENCE_SECONDS, None))
        if reason is not None and time.monotonic() - silent_at < SILENCE_SECONDS:
            raise _unavailable(reason)
        try:
            self._ping(service, seconds)
        except ReplyTimeout:
            reason = no_worker(service).problem
        except Unavailable as unavailable:
            reason = unavailable.problem
        else:
            self.heard_at[service] = time.monotonic()
            return
        self._silent[service] = (time.monotonic(), reason)
        raise _unavailable(reason)


def no_worker(service: str) -> Unavailable:
    """What is said when a ping was not answered."""
    return Unavailable("no-worker", f"No worker of {service} answers.")


def _unavailable(reason: Problem) -> Unavailable:
    return Unavailable(reason.code, reason.detail, reason.retry_after)
