"""Logs: a line says what went wrong, and repeats nothing that a caller sent."""

import io
import json
import re
import subprocess
import sys

import pytest
import structlog

from bus.http.telemetry import PATH_CHARACTERS, RequestTelemetry
from bus.telemetry.logs import configure_logs
from bus.telemetry.metrics import Metrics

PROGRAM = """
import structlog
from bus.telemetry.logs import configure_logs

def fail(password):
    shown = password.upper()
    raise RuntimeError("as asked")

configure_logs("info", FORM)
"""
FAILS = """
try:
    fail("hunter22")
except RuntimeError:
    structlog.get_logger().exception("failed")
"""
TRACE_ID = "0" * 32


def _run(form: str, then: str = FAILS) -> str:
    program = PROGRAM.replace("FORM", repr(form)) + then
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return run.stderr


def test_a_stack_trace_shows_no_local_variables() -> None:
    printed = _run("auto")
    line = json.loads(printed)
    assert line["exception"][0]["exc_value"] == "as asked"
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert "hunter22" not in printed.lower()
    text = _run("text")
    assert re.match(r"\d\d:\d\d:\d\d error failed\nTraceback ", text)
    assert text.endswith("RuntimeError: as asked\n")
    assert "hunter22" not in text.lower().replace('fail("hunter22")', "")


def test_a_thread_that_ends_with_an_error_is_a_line_without_local_variables() -> None:
    printed = _run("json", 'import threading\nthreading.Thread(target=fail, args=("hunter22",), name="clerk").start()')
    line = json.loads(printed)
    assert (line["event"], line["level"], line["thread"]) == ("thread_failed", "error", "clerk")
    assert line["exception"][0]["frames"][-1]["name"] == "fail"
    assert "hunter22" not in printed.lower()


@pytest.mark.parametrize(
    ("event", "fields", "line"),
    [
        ("http", {"service": "catalog", "method": "POST", "route": "/products", "status": 201, "ms": 16.6,
                  "operation": "catalog.create_product", "id": "i", "trace_id": TRACE_ID}, "POST /products 201 17ms"),
        ("http", {"service": "catalog", "method": "GET", "route": "none", "path": "/x", "status": 404, "ms": 0.4},
         "GET /x 404 0ms"),
        ("answered", {"operation": "catalog.create_product", "id": "i", "ms": 12.2, "attempt": 1, "status": 201,
                      "trace_id": TRACE_ID}, "catalog.create_product answered 201 12ms"),
        ("retried", {"operation": "catalog.create_product", "ms": 12.2, "attempt": 1, "seconds": 5},
         "catalog.create_product retried 12ms seconds=5"),
        ("worker_started", {"service": "catalog", "broker": "a\nb\x1b[2J"},
         r"worker_started service=catalog broker=a\nb\x1b[2J"),
    ],
)  # fmt: skip
def test_text_is_short_and_has_no_control_characters(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    event: str,
    fields: dict[str, object],
    line: str,
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr("sys.stderr", stream)
    configure_logs("info", "text")
    structlog.get_logger().info(event, **fields)
    stream.seek(0)
    assert re.fullmatch(rf"\d\d:\d\d:\d\d {re.escape(line)}\n", stream.read())


class Broken(io.RawIOBase):
    """A pipe that nobody reads."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_that_cannot_be_written_fails_nothing(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    stream = io.TextIOWrapper(io.BufferedWriter(Broken()), write_through=True)
    monkeypatch.setattr("sys.stderr", stream)
    configure_logs("info", form)
    for _ in range(3):
        structlog.get_logger().info("lost", text="x" * 20_000)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/none", "/none"),
        ("/a b\n\x9b/%", "/a%20b%0A%9B/%25"),
        ("/ä".encode().decode("latin-1"), "/%C3%A4"),
        ("/" + "a" * 5000, "/" + "a" * (PATH_CHARACTERS - 1) + "…"),
    ],
)
def test_a_request_without_a_route_is_logged_with_its_path(path: str, shown: str) -> None:
    def application(_environ: object, start_response: object) -> list[bytes]:
        start_response("404 Not Found", [])  # type: ignore[operator]
        return []

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "QUERY_STRING": "token=s3cret"}
    with structlog.testing.capture_logs() as logs:
        RequestTelemetry("catalog", application, Metrics(), None)(environ, lambda *_: lambda _: None)
    assert [(line["service"], line["path"], line["status"]) for line in logs] == [("catalog", shown, 404)]
