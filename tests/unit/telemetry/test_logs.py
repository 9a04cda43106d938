"""Logs: a line says what went wrong, and repeats nothing that a caller sent."""

import json
import subprocess
import sys

PROGRAM = """
import structlog
from bus.telemetry.logs import configure_logs

def fail(password):
    shown = password.upper()
    raise RuntimeError("as asked")

configure_logs("info")
try:
    fail("hunter22")
except RuntimeError:
    structlog.get_logger().exception("failed")
"""


def test_a_stack_trace_shows_no_local_variables() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=True)
    line = json.loads(run.stderr)
    assert line["exception"][0]["exc_value"] == "as asked"
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert "hunter22" not in run.stderr.lower()
