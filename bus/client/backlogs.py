"""Backlogs: operations whose queue is so long that no caller should wait for an answer."""

import time

# An answer that takes longer is not waited for. As long as a front end waits.
TELLING_SECONDS = 5.0
# Should late answers be lost, one call in this time waits all the same, to notice the end of the backlog.
PROBE_SECONDS = 30.0
# Calls without an answer that are remembered, the last ones.
MOST_LEFT = 1000


class Backlogs:
    """Which commands are answered too late: known from the calls that ended without an answer, and from late answers.

    Rules only; the caller reports what became of its calls.
    """

    def __init__(self) -> None:
        self._next_probe: dict[str, float] = {}
        self._left: dict[str, tuple[str, float]] = {}

    def left(self, operation: str, call: str, waited: float) -> None:
        """A call with this number was not answered within the seconds that it waited."""
        now = time.monotonic()
        if waited >= TELLING_SECONDS:
            self._next_probe[operation] = now + PROBE_SECONDS
        if operation in self._next_probe:
            self._left[call] = operation, now - waited
            if len(self._left) > MOST_LEFT:
                self._left.pop(next(iter(self._left)), None)

    def answered(self, operation: str) -> None:
        """A call of this operation was answered in time."""
        self._next_probe.pop(operation, None)

    def answered_late(self, call: str) -> None:
        """An answer came for a call that waits no more."""
        operation, sent_at = self._left.pop(call, ("", 0.0))
        if time.monotonic() - sent_at < TELLING_SECONDS:
            self.answered(operation)

    def is_hopeless(self, operation: str) -> bool:
        """Whether the next call would wait in vain. Now and then this is False for one call, which then finds out."""
        probe_at = self._next_probe.get(operation)
        if probe_at is None:
            return False
        now = time.monotonic()
        if now < probe_at:
            return True
        self._next_probe[operation] = now + PROBE_SECONDS
        return False
