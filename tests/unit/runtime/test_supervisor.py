"""The supervisor: what it starts again, what ends it, and that nothing outlives it."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from bus.runtime import supervisor
from bus.runtime.supervisor import NEEDS_OPERATOR, Supervisor
from bus.testing.waiting import wait_until

END_SECONDS = 60.0
# Notes that it was started, then sleeps for a while and ends with a code.
PROGRAM = """
import os, sys, time
from bus.parent import end_with_supervisor
end_with_supervisor(os.environ)
name, seconds, code = sys.argv[1:]
with open(name, "a") as file:
    file.write(f"{os.getpid()}\\n")
time.sleep(float(seconds))
sys.exit(int(code))
"""
PARENT = f"""
import signal, sys, threading
from bus.runtime import supervisor
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, programs inherit that it is ignored
supervisor.PROGRAM = (sys.executable, "-c", {PROGRAM!r})
kept = supervisor.Supervisor([("one", "60", "0"), ("two", "60", "0")])
kept.start()
kept.watch(threading.Event())
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "PROGRAM", (sys.executable, "-c", PROGRAM))
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "REPAIR_SECONDS", 0.1)


def _starts(name: str) -> list[int]:
    file = Path(name)
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_needs_an_operator_from_the_start_ends_it_all() -> None:
    kept = Supervisor([("steady", "60", "0"), ("broken", "0", str(NEEDS_OPERATOR))])
    kept.start()
    assert kept.watch(threading.Event()) == NEEDS_OPERATOR
    kept.stop()
    assert not any(map(_lives, _starts("steady")))


def test_what_has_run_before_is_started_again_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a worker that the broker refuses for a while."""
    monkeypatch.setattr(supervisor, "RAN_SECONDS", 0.0)
    kept, stopping = Supervisor([("steady", "60", "0"), ("refused", "1", str(NEEDS_OPERATOR))]), threading.Event()
    kept.start()
    codes: list[int] = []
    watching = threading.Thread(target=lambda: codes.append(kept.watch(stopping)))
    watching.start()
    wait_until(lambda: len(_starts("refused")) >= 3, END_SECONDS, "it is started again")
    assert len(_starts("steady")) == 1
    stopping.set()
    watching.join(END_SECONDS)
    kept.stop()
    assert codes == [0]


def test_a_crash_is_started_again() -> None:
    kept, stopping = Supervisor([("crash", "0", "1")]), threading.Event()
    kept.start()
    watching = threading.Thread(target=kept.watch, args=[stopping])
    watching.start()
    wait_until(lambda: len(_starts("crash")) >= 2, END_SECONDS, "it is started again")
    stopping.set()
    watching.join(END_SECONDS)
    kept.stop()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGHUP])
def test_nothing_outlives_it(ending: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT]) as parent:
        wait_until(lambda: bool(_starts("one") and _starts("two")), END_SECONDS, "both run")
        os.kill(parent.pid, ending)
        try:
            parent.wait(END_SECONDS)
        finally:
            parent.kill()
    pids = _starts("one") + _starts("two")
    wait_until(lambda: not any(map(_lives, pids)), END_SECONDS, "both have ended")
