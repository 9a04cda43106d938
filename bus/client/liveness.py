"""Liveness: whether a service answers, checked before a request is sent to it.

The broker accepts a command for a queue without a worker, or with a worker that has no database, and the command then
waits there. An error at once serves the caller better. So the client pings a service first, unless it has replied
within the last second; a service that replies all the time costs no pings.
"""

import threading
import time
from collections.abc import Callable
from queue import Empty

from bus.contract.problems import Problem, ReplyTimeout, Unavailable
from bus.messaging.waiting import Mailbox, mailbox

# After a reply the service counts as alive for this long.
FRESH_SECONDS = 1.0
# A ping that takes longer than this counts as silence: the caller gets its 503 within a second. Where the broker says
# that there is no worker, half of it is enough: for one that is restarted.
PING_SECONDS = 0.6
# After an unanswered ping the service counts as silent for this long, so that many callers cost one ping.
SILENCE_SECONDS = 0.2

Ping = Callable[[str, float], None]


class Liveness:
    """When each service last replied. `ping(service, seconds)` raises ReplyTimeout or Unavailable if it does not.

    `heard_at` has the time of the last reply of each service (time.monotonic()); the client updates it.
    """

    def __init__(self, ping: Ping) -> None:
        self._ping = ping
        self.heard_at: dict[str, float] = {}
        # Not the exception: it would keep the frames of the callers it was raised in, with all their objects.
        self._silent: dict[str, tuple[float, Problem]] = {}
        # Those who wait for a ping of another caller. They get its result, and how long it was waited for.
        self._waiting: dict[str, list[Mailbox[tuple[Problem | None, float]]]] = {}
        self._lock = threading.Lock()

    def doubt(self, service: str) -> None:
        """The service has replied that it cannot work now: ping it before the next request."""
        self.heard_at.pop(service, None)

    def check(self, service: str, seconds: float) -> None:
        """Return if the service has replied lately, or answers a ping in at most `seconds`. Raises Unavailable."""
        seconds = min(seconds, PING_SECONDS)
        while not self._is_fresh(service):
            with self._lock:  # never held while anything is waited for
                others = self._waiting.get(service)
                if others is None:
                    self._waiting[service] = []
                else:
                    others.append(answer := mailbox())
            if others is None:
                reason, waited = self._ask_for_all(service, seconds), seconds
            else:
                try:
                    reason, waited = answer.get(timeout=seconds)
                except Empty:
                    reason, waited = no_worker(service).problem, seconds
            if reason is not None and waited >= seconds:
                raise Unavailable(reason.code, reason.detail, reason.retry_after)

    def _ask_for_all(self, service: str, seconds: float) -> Problem | None:
        """Ask for this caller and those who wait meanwhile; returns why the service cannot be used."""
        reason: Problem | None = no_worker(service).problem  # should this caller be ended while it waits
        try:
            reason = self._ask(service, seconds)
        finally:
            with self._lock:
                others = self._waiting.pop(service)
            for other in others:
                other.put((reason, seconds))
        return reason

    def _is_fresh(self, service: str) -> bool:
        return time.monotonic() - self.heard_at.get(service, -FRESH_SECONDS) < FRESH_SECONDS

    def _ask(self, service: str, seconds: float) -> Problem | None:
        if self._is_fresh(service):  # another caller has asked since this one looked
            return None
        silent_at, reason = self._silent.get(service, (-SILENCE_SECONDS, None))
        if reason is not None and time.monotonic() - silent_at < SILENCE_SECONDS:
            return reason
        try:
            self._ping(service, seconds)
        except ReplyTimeout:
            reason = no_worker(service).problem
        except Unavailable as unavailable:
            reason = unavailable.problem
        else:
            self.heard_at[service] = time.monotonic()
            return None
        self._silent[service] = (time.monotonic(), reason)
        return reason


def no_worker(service: str) -> Unavailable:
    """The error when no worker answers a ping."""
    return Unavailable("no-worker", f"No worker of {service} answers.")
