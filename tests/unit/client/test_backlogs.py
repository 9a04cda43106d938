"""Backlogs: after a late answer no caller waits for a command but one, which finds out when the backlog is over."""

import pytest

from bus.client import backlogs
from bus.client.backlogs import PROBE_SECONDS, TELLING_SECONDS, Backlogs

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
    found.ended(CREATE, TELLING_SECONDS, is_late=True)
    assert [found.is_hopeless(CREATE) for _ in range(3)] == [True] * 3
    assert not found.is_hopeless(UPDATE)
    clock.now += PROBE_SECONDS
    assert [found.is_hopeless(CREATE) for _ in range(3)] == [False, True, True]
    found.ended(CREATE, TELLING_SECONDS, is_late=True)
    assert found.is_hopeless(CREATE)


def test_an_answer_in_time_ends_it(clock: Clock) -> None:
    found = Backlogs()
    found.ended(CREATE, TELLING_SECONDS, is_late=True)
    found.ended(CREATE, TELLING_SECONDS, is_late=False)
    assert not found.is_hopeless(CREATE)


def test_a_caller_that_hardly_waited_says_nothing(clock: Clock) -> None:
    found = Backlogs()
    found.ended(CREATE, TELLING_SECONDS / 2, is_late=True)
    assert not found.is_hopeless(CREATE)
