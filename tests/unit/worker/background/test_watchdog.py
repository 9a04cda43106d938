"""The watchdog: what counts as silence, and what is done about it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bus.messaging.transport import QueueView
from bus.testing.waiting import wait_until
from bus.worker.background import watchdog
from bus.worker.background.watchdog import TRIES, NotConsuming, Suspicions, Watchdog, is_silent

WAIT_SECONDS = 30.0
WELL = QueueView(queue="a.b", ready=0, consumers=1, session=1, delivered=5, unacknowledged=0, prefetch=10)
SILENT = replace(WELL, ready=3)
GONE = replace(WELL, consumers=0)


@pytest.mark.parametrize(
    ("now", "before", "silent"),
    [
        (WELL, WELL, False),
        (SILENT, None, False),
        (SILENT, SILENT, True),
        (SILENT, WELL, True),
        (replace(SILENT, delivered=6), SILENT, False),
        (replace(SILENT, session=2), SILENT, False),
        (replace(SILENT, unacknowledged=10), replace(SILENT, unacknowledged=10), False),
        (replace(SILENT, unacknowledged=9), replace(SILENT, unacknowledged=9), True),
        (GONE, None, True),
        (replace(SILENT, single_active_consumer=True), SILENT, True),
        (replace(SILENT, single_active_consumer=True, delivered=0), replace(SILENT, delivered=0), False),
        (replace(GONE, single_active_consumer=True, delivered=0), None, True),
    ],
)
def test_silence_is_room_and_something_ready_and_nothing_delivered(
    now: QueueView, before: QueueView | None, silent: bool
) -> None:
    assert is_silent(now, before) is silent


def test_one_look_is_no_reason_and_two_are() -> None:
    suspicions = Suspicions()
    assert suspicions.after([SILENT]) == []
    assert suspicions.after([SILENT]) == []
    assert suspicions.after([SILENT]) == [SILENT]


def test_a_look_at_which_all_is_well_ends_a_suspicion_and_one_without_an_answer_does_not() -> None:
    suspicions = Suspicions()
    assert [suspicions.after(views) for views in ([GONE], [WELL], [GONE])] == [[], [], []]
    assert suspicions.after([]) == []
    assert suspicions.after([GONE]) == [GONE]


class Broker:
    """A transport as far as the watchdog knows it, whose views are given."""

    def __init__(self, views: Sequence[QueueView], mended_by: int = 10**9) -> None:
        self.views, self.mended_by = views, mended_by
        self.restarts = self.looks = 0

    def view(self, seconds: float) -> Sequence[QueueView]:
        self.looks += 1
        return [WELL] if self.restarts >= self.mended_by else self.views

    def reconnect_consumer(self, reason: str) -> None:
        self.restarts += 1


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.001)


def _watch(broker: Any) -> Watchdog:
    found = Watchdog("a", broker)
    found.start()
    return found


@pytest.mark.usefixtures("looks_often")
def test_a_worker_that_no_new_connection_helps_fails() -> None:
    broker = Broker([GONE])
    dog = _watch(broker)
    wait_until(lambda: dog.failure is not None, WAIT_SECONDS, "it gives up")
    dog.stop(WAIT_SECONDS)
    assert isinstance(dog.failure, NotConsuming)
    assert "a.b" in str(dog.failure)
    assert broker.restarts == TRIES


@pytest.mark.usefixtures("looks_often")
def test_what_a_new_connection_mends_is_forgotten() -> None:
    broker = Broker([GONE], mended_by=1)
    dog = _watch(broker)
    wait_until(lambda: broker.restarts == 1 and not dog.why_silent, WAIT_SECONDS, "it is mended")
    for _ in range(TRIES):
        broker.mended_by = broker.restarts + 1
        wait_until(lambda: broker.restarts == broker.mended_by and not dog.why_silent, WAIT_SECONDS, "mended again")
    dog.stop(WAIT_SECONDS)
    assert dog.failure is None


@pytest.mark.usefixtures("looks_often")
def test_while_the_broker_says_nothing_nothing_is_done() -> None:
    broker = Broker([])
    dog = _watch(broker)
    wait_until(lambda: broker.looks > 20, WAIT_SECONDS, "it looks")
    dog.stop(WAIT_SECONDS)
    assert (broker.restarts, dog.failure, dog.why_silent) == (0, None, "")
