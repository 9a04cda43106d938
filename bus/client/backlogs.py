"""Backlogs: operations whose queue is so long that no caller should wait for an answer."""

import time

# A call that waited for less says nothing. As long as a front end waits.
TELLING_SECONDS = 5.0
# Meanwhile one call in this time waits all the same, to notice the end of the backlog.
PROBE_SECONDS = 5.0


class Backlogs:
    """Which commands were last answered too late. Rules only; the caller reports what became of its calls."""

    def __init__(self) -> None:
        self._next_probe: dict[str, float] = {}

    def ended(self, operation: str, waited: float, *, is_late: bool) -> None:
        """A call of this operation was answered, or, `is_late`, was not within the seconds that it waited."""
        if not is_late:
            self._next_probe.pop(operation, None)
        elif waited >= TELLING_SECONDS:
            self._next_probe.setdefault(operation, time.monotonic() + PROBE_SECONDS)

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
