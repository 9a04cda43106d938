"""A process whose supervisor is killed ends by itself."""

import subprocess
import sys

import psutil

from bus.runtime.process import SUPERVISOR
from bus.testing.waiting import wait_until

END_SECONDS = 30.0

CHILD = """
import os, time
from bus.runtime.process import end_with_supervisor
end_with_supervisor(os.environ)
print("up", flush=True)
time.sleep(60)
"""
PARENT = f"""
import os, subprocess, sys
environment = {{**os.environ, "{SUPERVISOR}": str(os.getpid())}}
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE, env=environment)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def test_a_process_ends_when_its_supervisor_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.status() != psutil.STATUS_ZOMBIE
        parent.kill()
    wait_until(lambda: not _lives(child), END_SECONDS, "the child has ended")


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
