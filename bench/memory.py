"""Peak memory of a process, as the kernel keeps it (proc_pid_status(5), VmHWM)."""

import re
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def peak_megabytes(pid: int) -> float | None:
    """None where the kernel does not tell, or the process has ended."""
    try:
        found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return None
    return int(found[1]) / 1024 if found else None
