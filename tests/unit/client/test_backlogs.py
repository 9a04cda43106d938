"""Backlogs: after a late answer no caller waits for a command but one, which finds out when the backlog is over."""

import pytest

from bus.client import backlogs
from bus.client.backlogs import MOST_LEFT, PROBE_SECONDS, TELLING_SECONDS, Backlogs

CREATE, UPDATE = "catalog.create_product", "catalog.update_product"


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(backlogs, "time", clock)
    return clock


def test_after_a_late_answer_all_waits_are_hopeless_but_one_now_and_then(clock: Clock) -> None:
    found = Backlogs()
    assert not found.is_hopeless(CREATE)
    found.left(CREATE, "1", TELLING_SECONDS)
    assert [found.is_hopeless(CREATE) for _ in range(3)] == [True] * 3
    assert not found.is_hopeless(UPDATE)
    clock.now += PROBE_SECONDS
    assert [found.is_hopeless(CREATE) for _ in range(3)] == [False, True, True]
    clock.now += TELLING_SECONDS
    found.left(CREATE, "2", TELLING_SECONDS)
    assert found.is_hopeless(CREATE)


def test_an_answer_in_time_ends_it(clock: Clock) -> None:
    found = Backlogs()
    found.left(CREATE, "1", TELLING_SECONDS)
    found.answered(CREATE)
    assert not found.is_hopeless(CREATE)


def test_so_does_an_answer_that_would_have_come_in_time(clock: Clock) -> None:
    """For a command that nobody waited for."""
    found = Backlogs()
    found.left(CREATE, "1", TELLING_SECONDS)
    found.left(CREATE, "2", 0.0)
    clock.now += 2 * TELLING_SECONDS
    found.left(CREATE, "3", 0.0)
    clock.now += TELLING_SECONDS / 2
    for late in ("1", "2", "unknown"):
        found.answered_late(late)
        assert found.is_hopeless(CREATE)
    found.answered_late("3")
    assert not found.is_hopeless(CREATE)


def test_a_caller_that_hardly_waited_says_nothing(clock: Clock) -> None:
    found = Backlogs()
    found.left(CREATE, "1", TELLING_SECONDS / 2)
    assert not found.is_hopeless(CREATE)


def test_only_the_last_calls_are_remembered(clock: Clock) -> None:
    found = Backlogs()
    found.left(CREATE, "1", TELLING_SECONDS)
    for number in range(MOST_LEFT):
        found.left(CREATE, f"later {number}", 0.0)
    found.answered_late("later 0")
    assert not found.is_hopeless(CREATE)
    assert len(found._left) < MOST_LEFT
