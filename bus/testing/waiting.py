"""Waiting: for a condition, never longer than a deadline."""

import time
from collections.abc import Callable

# Short against every start-up, long enough to cost nothing.
POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `condition` holds; raise TimeoutError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() > deadline  # before the look: a machine that stood still looks once more
        if condition():
            return
        if is_last:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
