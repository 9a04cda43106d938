"""Failpoints: a process dies at the named place, the named time, and nowhere else."""

import subprocess
import sys

import pytest

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
        ("there:4", 0, "1\n2\n3\n"),
    ],
)
def test_a_process_dies_at_the_named_place_and_turn(failpoint: str, code: int, printed: str) -> None:
    command = [sys.executable, "-c", PROGRAM % failpoint]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert (run.returncode, run.stdout) == (code, printed), run.stderr
