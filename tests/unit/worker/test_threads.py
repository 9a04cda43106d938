"""Lanes: what arrives is worked off in batches, in order, and to the end."""

import threading
import time
from collections.abc import Sequence

import pytest

from bus.messaging.message import Delivery, Message
from bus.messaging.trace_context import begin
from bus.testing.waiting import wait_until
from bus.worker.threads import Lane, Stopped

NEWS_SECONDS = 30.0
TRACE = begin()


def _delivery(number: int) -> Delivery:
    return Delivery(message=Message(queue="q", body=b""), tag=number, session=1, deaths=0, received_at=0.0, trace=TRACE)


class Desk:
    """Notes the batches, and lets the first one wait for its gate."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()

    def work_off(self, batch: Sequence[Delivery], lane: Lane) -> None:
        assert self.gate.wait(NEWS_SECONDS)
        self.batches.append([delivery.tag for delivery in batch])


def test_what_has_arrived_meanwhile_is_one_batch_of_at_most_the_given_size() -> None:
    desk = Desk()
    lane = Lane("test", desk.work_off, batch=3)
    for number in range(1, 9):
        lane.put(_delivery(number))
    desk.gate.set()
    lane.start()
    lane.finish()
    lane.join(time.monotonic() + NEWS_SECONDS)
    assert desk.batches == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_a_lane_that_is_finished_works_off_what_is_there_with_all_its_threads() -> None:
    desk = Desk()
    lane = Lane("test", desk.work_off, threads=4)
    lane.start()
    for number in range(20):
        lane.put(_delivery(number))
    lane.finish()
    desk.gate.set()
    lane.join(time.monotonic() + NEWS_SECONDS)
    assert sorted(desk.batches) == [[number] for number in range(20)]


def test_who_waits_at_a_lane_gets_what_comes_or_nothing_or_is_stopped() -> None:
    lane = Lane("test", Desk().work_off)
    assert lane.next(0.01) is None
    lane.put(_delivery(1))
    assert lane.next(NEWS_SECONDS) == _delivery(1)
    lane.finish()
    for _ in range(2):
        with pytest.raises(Stopped):
            lane.next(NEWS_SECONDS)


def test_an_error_that_should_not_be_ends_the_thread_and_is_told() -> None:
    def break_down(batch: Sequence[Delivery], lane: Lane) -> None:
        raise ZeroDivisionError

    lane = Lane("test", break_down)
    lane.start()
    assert lane.failure is None
    lane.put(_delivery(1))
    wait_until(lambda: isinstance(lane.failure, ZeroDivisionError), NEWS_SECONDS, "the lane fails")


def test_a_stop_in_the_middle_of_work_is_no_failure() -> None:
    def stop(batch: Sequence[Delivery], lane: Lane) -> None:
        raise Stopped

    lane = Lane("test", stop)
    lane.start()
    lane.put(_delivery(1))
    lane.join(time.monotonic() + NEWS_SECONDS)
    assert lane.failure is None
