"""Waiting for a condition, with a deadline."""

import time
from collections.abc import Callable

# Short compared to any start, and long enough to use no CPU time.
POLL_SECONDS = 0.05


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return as soon as `condition()` is true. Raises TimeoutError, with `what` in it, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        is_last = time.monotonic() > deadline  # before the check: if the machine stood still, check once more
        if condition():
            return
        if is_last:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
