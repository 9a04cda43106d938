"""Standstills: when this machine let nobody go on, as shared ones do for seconds. No bound counts that time."""

import subprocess
import sys
from types import TracebackType
from typing import Self

# Looks at the clock every 20 ms, and tells from when to when nobody woke it. Ends with its input.
WATCH = """
import select, sys, time
last = time.monotonic()
while not select.select([sys.stdin], [], [], 0.02)[0]:
    now = time.monotonic()
    if now - last > 0.12:
        print(last, now, flush=True)
    last = now
"""


class Standstills:
    """Within its block a process of its own looks at the clock, which on one machine is the same for all processes.

    A thread of ours would come late whenever the others kept it from the interpreter.
    """

    def __enter__(self) -> Self:
        self._watch = subprocess.Popen(
            [sys.executable, "-c", WATCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._seen: list[tuple[float, float]] | None = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def seconds(self, begun: float, ended: float) -> float:
        """How much of the time between two moments (time.monotonic()) was none. Asked first, it ends the watch."""
        return sum(max(0.0, min(ended, last) - max(begun, first)) for first, last in self._end())

    def _end(self) -> list[tuple[float, float]]:
        if self._seen is None:
            told, _ = self._watch.communicate()
            self._seen = [(float(first), float(last)) for first, last in map(str.split, told.splitlines())]
        return self._seen
