"""Parent watch: ends a process group when the process that started it is gone, however that one ended."""

import subprocess
from pathlib import Path
from signal import Signals

# `read` fails when the other end of its pipe closes, which happens when our process ends, even by SIGKILL.
# The first shell leads the group, and must outlive the signal that it sends where that can be ignored. The second is
# outside; its pause of a second lets the group end before its folder is removed.
LEAD = 'trap "" "$1"; read _ || kill -"$1" 0'
CLEAN = 'read _ || { sleep 1; rm -rf "$1"; }'

# A shell only has to read one line and exit; the rest is for a machine that stands still at times.
RELEASE_SECONDS = 60.0


class ParentWatch:
    """Watches our own process: when it is gone, the processes in `group` get a signal and their folder is removed.

    The group exists, and is watched, before the first program joins it (`Popen(process_group=watch.group)`): so
    there is no moment at which our end would leave a program behind. A shell waits at the end of a pipe that only
    this process holds, so nothing depends on an orderly exit, nor on the thread that started the program. (A child
    that is forked without an exec holds the pipe as well.)
    """

    def __init__(self, signal: Signals, folder: Path | None = None) -> None:
        leader = _shell(LEAD, signal.name.removeprefix("SIG"))
        self.group = leader.pid
        self._shells = [leader] if folder is None else [leader, _shell(CLEAN, str(folder))]

    def release(self) -> None:
        """Stop watching; the group is left as it is."""
        for shell in self._shells:
            shell.communicate(b"\n", timeout=RELEASE_SECONDS)


def _shell(script: str, argument: str) -> subprocess.Popen[bytes]:
    # A group of its own in our session: Ctrl-C in a terminal reaches only us.
    return subprocess.Popen(
        ["sh", "-c", script, "parent-watch", argument],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
