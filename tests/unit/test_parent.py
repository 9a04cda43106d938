"""A process whose supervisor is killed ends by itself, at once or in order."""

import subprocess
import sys

import psutil
import pytest

from bus.parent import SUPERVISOR
from bus.testing.waiting import wait_until

END_SECONDS = 30.0

CHILD = """
import os, signal, sys, time
from bus import parent
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("ended in order", file=sys.stderr)))
getattr(parent, sys.argv[1])(os.environ)
print("up", flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys
environment = {{**os.environ, "{SUPERVISOR}": str(os.getpid())}}
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}, sys.argv[1]], stdout=subprocess.PIPE, env=environment)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.parametrize(
    ("watch", "printed"), [("end_with_supervisor", ""), ("stop_with_supervisor", "ended in order\n")]
)
def test_a_process_ends_when_its_supervisor_is_killed(watch: str, printed: str) -> None:
    command, pipe = [sys.executable, "-c", PARENT, watch], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.status() != psutil.STATUS_ZOMBIE
        parent.kill()
        wait_until(lambda: not _lives(child), END_SECONDS, "the child has ended")
        assert parent.stderr.read() == printed


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
