"""Parent watch: ends a process group when the process that started it is gone, however that one ended."""

import subprocess
from pathlib import Path
from signal import Signals

# `read` fails when the other end of its pipe closes, which happens when our process ends, even by SIGKILL.
# The pause of a second lets the group end before its folder is removed.
WATCH = 'read _ || { kill -"$1" "-$2"; sleep 1; rm -rf "$3"; }'

# The watcher only has to read one line and exit; the rest is for a machine that stands still at times.
RELEASE_SECONDS = 60.0


class ParentWatch:
    """Watches our own process: when it is gone, a process group gets a signal and its folder is removed.

    A shell waits at the end of a pipe that only this process holds, so nothing depends on an orderly exit, nor on
    the thread that started the group. (A child that is forked without an exec holds the pipe as well.)
    """

    def __init__(self, group: int, signal: Signals, folder: Path | None = None) -> None:
        signal_name = signal.name.removeprefix("SIG")
        self._watcher = subprocess.Popen(
            ["sh", "-c", WATCH, "parent-watch", signal_name, str(group), str(folder or "")],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def release(self) -> None:
        """Stop watching; the group is left as it is."""
        self._watcher.communicate(b"\n", timeout=RELEASE_SECONDS)
