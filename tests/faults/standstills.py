"""Standstills: when this machine let nobody go on, as shared ones do for seconds. No bound counts that time."""

import threading
import time
from types import TracebackType
from typing import Self

LOOK_SECONDS = 0.02
# Whoever wakes later than that stood still.
LATE_SECONDS = 0.1


class Standstills:
    """Within its block a thread looks at the clock all the time: where it comes late, so do all the others."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="standstills", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def seconds(self, begun: float, ended: float) -> float:
        """How much of the time between two moments (time.monotonic()) was none."""
        return sum(max(0.0, min(ended, last) - max(begun, first)) for first, last in self._seen)

    def _look(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            now = time.monotonic()
            if now - last > LOOK_SECONDS + LATE_SECONDS:
                self._seen.append((last, now))
            last = now
