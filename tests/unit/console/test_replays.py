"""Replays of a console: it remembers why they ended, and not for ever."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from bus.client.client import Client
from bus.client.replay import Replay
from bus.console.replays import MOST_OVER, Replays
from bus.security.operators import Operator
from bus.testing.waiting import wait_until

WAIT_SECONDS = 30.0


def test_only_the_last_that_are_over_are_remembered(memory_url: str) -> None:
    with Client(memory_url) as client:
        replays = Replays(client)
        for action in range(MOST_OVER + 3):
            replays.start(Operator("ann", "no token"), "catalog", action, rate=1, growing=False)
            running = replays.of("catalog", action)
            assert running is not None
            wait_until(lambda running=running: running.is_over, WAIT_SECONDS, "it is over")
        assert [action for action in range(MOST_OVER + 3) if replays.of("catalog", action) is None] == [0, 1]
        assert "catalog" in running.trouble


def test_a_replay_that_a_bug_has_ended_is_not_shown_as_complete(
    memory_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_replay: Replay) -> Iterator[None]:
        raise KeyError("a bug")

    monkeypatch.setattr(Replay, "run", fail)
    with Client(memory_url) as client, capture_logs() as logs:
        replays = Replays(client)
        replays.start(Operator("ann", "no token"), "catalog", 1, rate=1, growing=False)
        running = replays.of("catalog", 1)
        assert running is not None
        wait_until(lambda: running.is_over, WAIT_SECONDS, "it is over")
    assert "KeyError" in running.trouble
    assert [line["event"] for line in logs] == ["replay_failed"]
