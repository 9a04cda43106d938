"""CPU time of processes, those that came and went in between included."""

from collections.abc import Iterable
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]


def cpu_seconds(pids: Iterable[int]) -> float:
    """What these processes have used so far, and what their ended children had."""
    return sum(map(_of_one, pids))


def exact_cpu_seconds(pid: int) -> float:
    """What one process has used so far, to the nanosecond (the kernel's sched-stats). Linux alone."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _of_one(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # its parent counts it from now on
    # A database ends its processes as clients leave: then their time is among their parent's children's.
    return float(times.user + times.system + times.children_user + times.children_system)
