"""Leash: a process group that does not outlive us, however we end."""

import subprocess
from pathlib import Path
from signal import Signals

# `read` fails when the other end of its pipe closes: that is our end, a SIGKILL included. The second
# lets the group end before its folder goes.
WATCH = 'read _ || { kill -"$1" "-$2"; sleep 1; rm -rf "$3"; }'

# The watcher only has to read one line and exit; the rest is for a machine that stands still at times.
RELEASE_SECONDS = 60.0


class Leash:
    """Watch over a process group: when we are gone, send it a signal and remove its folder.

    A shell waits at the end of a pipe that only we hold, so nothing depends on a tidy exit, nor on
    the thread that started the group. (A child that we fork without an exec holds the pipe as well.)
    """

    def __init__(self, group: int, signal: Signals, folder: Path | None = None) -> None:
        signal_name = signal.name.removeprefix("SIG")
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCH, "leash", signal_name, str(group), str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """End the watch; the group lives on, or has ended."""
        self._watcher.communicate(b"\n", timeout=RELEASE_SECONDS)
