"""`bus run`: its banner and its seed come when what it needs is there."""

import threading
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bus.runtime import running
from bus.runtime.ports import PortTaken
from bus.runtime.settings import read_settings
from catalog.main import application as catalog


def test_a_front_end_that_is_ready_late_is_announced_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its broker was started after it, say. The log says once that something is missing."""
    answers: Iterator[int] = iter((503, 0, 503, 200))
    monkeypatch.setattr(running, "START_SECONDS", -1.0)
    monkeypatch.setattr(running, "WATCH_SECONDS", 0.0)
    monkeypatch.setattr(running, "ask", lambda *_: (next(answers), b""))
    settings = read_settings({"BUS_URL": "amqp://127.0.0.1", "SEED": "0"}, {"catalog": 5001})
    announced: list[str] = []
    with capture_logs() as logs:
        running._announce([catalog], settings, lambda: announced.append("ready"), threading.Event())
    assert announced == ["ready"]
    assert [line["event"] for line in logs] == ["not_ready"]


def test_the_console_needs_a_port_of_its_own() -> None:
    settings = read_settings({"CATALOG_PORT": "5002"}, {"catalog": 5001})
    with pytest.raises(PortTaken, match=r"CONSOLE_PORT and CATALOG_PORT are equal: set them to different values\."):
        running.check_ports([catalog], settings, with_console=True)
