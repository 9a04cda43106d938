"""Waiting: for a condition, never longer than a deadline."""

import time
from collections.abc import Callable

# Short against every start-up, long enough to cost nothing.
POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; raise TimeoutError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
