"""Failpoints: a process dies at the named place, the named time, and nowhere else."""

import signal
import subprocess
import sys

import psutil
import pytest

from bus import failpoints
from bus.testing.waiting import wait_until

PROGRAM = """
from bus import failpoints
failpoints.arm({"BUS_FAILPOINT": %r})
for turn in range(1, 4):
    failpoints.reach("here")
    failpoints.reach("there")
    print(turn, flush=True)
"""


@pytest.mark.parametrize(
    ("failpoint", "code", "printed"),
    [
        ("", 0, "1\n2\n3\n"),
        ("nowhere", 0, "1\n2\n3\n"),
        ("here", -9, ""),
        ("there:3", -9, "1\n2\n"),
        ("there:3:kill", -9, "1\n2\n"),
        ("there:4", 0, "1\n2\n3\n"),
    ],
)
def test_a_process_dies_at_the_named_place_and_turn(failpoint: str, code: int, printed: str) -> None:
    command = [sys.executable, "-c", PROGRAM % failpoint]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stdout) == (code, printed), run.stderr


def test_a_process_that_froze_at_its_failpoint_goes_on_from_there() -> None:
    command = [sys.executable, "-c", PROGRAM % "there:2:stop"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as frozen:
        wait_until(lambda: psutil.Process(frozen.pid).status() == psutil.STATUS_STOPPED, 30, "it is frozen")
        frozen.send_signal(signal.SIGCONT)
        assert frozen.communicate(timeout=30)[0] == "1\n2\n3\n"


def test_an_unknown_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="'pause' is not kill or stop"):
        failpoints.arm({"BUS_FAILPOINT": "here:1:pause"})
