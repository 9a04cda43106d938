"""Replays of a console: it remembers why they ended, and not for ever."""

from bus.client.client import Client
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
