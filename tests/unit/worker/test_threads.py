"""Lanes: what arrives is worked off in batches, in order, and to the end."""

import threading
import time
from collections.abc import Sequence

import pytest

from bus.contract.exits import Exited
from bus.messaging.message import Delivery, Message
from bus.messaging.trace_context import begin
from bus.testing.waiting import wait_until
from bus.worker.threads import ConsumerThreads, Stopped

WAIT_SECONDS = 30.0
TRACE = begin()


def _delivery(number: int) -> Delivery:
    return Delivery(message=Message(queue="q", body=b""), tag=number, session=1, deaths=0, received_at=0.0, trace=TRACE)


class Desk:
    """Notes the batches, and lets the first one wait for its gate."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()

    def handle_batch(self, batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        assert self.gate.wait(WAIT_SECONDS)
        self.batches.append([delivery.tag for delivery in batch])


def test_what_has_arrived_meanwhile_is_one_batch_of_at_most_the_given_size() -> None:
    desk = Desk()
    threads = ConsumerThreads("test", desk.handle_batch, batch=3)
    for number in range(1, 9):
        threads.put(_delivery(number))
    desk.gate.set()
    threads.start()
    threads.finish()
    threads.join(time.monotonic() + WAIT_SECONDS)
    assert desk.batches == [[1, 2, 3], [4, 5, 6], [7, 8]]


def test_a_lane_that_is_finished_works_off_what_is_there_with_all_its_threads() -> None:
    desk = Desk()
    threads = ConsumerThreads("test", desk.handle_batch, threads=4)
    threads.start()
    for number in range(20):
        threads.put(_delivery(number))
    threads.finish()
    desk.gate.set()
    threads.join(time.monotonic() + WAIT_SECONDS)
    assert sorted(desk.batches) == [[number] for number in range(20)]


def test_who_waits_at_a_lane_gets_what_comes_or_nothing_or_is_stopped() -> None:
    threads = ConsumerThreads("test", Desk().handle_batch)
    assert threads.next(0.01) is None
    threads.put(_delivery(1))
    assert threads.next(WAIT_SECONDS) == _delivery(1)
    threads.finish()
    for _ in range(2):
        with pytest.raises(Stopped):
            threads.next(WAIT_SECONDS)


@pytest.mark.parametrize(("raised", "failure"), [(ZeroDivisionError, ZeroDivisionError), (SystemExit, Exited)])
def test_an_error_that_should_not_be_ends_the_thread_and_is_told(raised: type, failure: type) -> None:
    def break_down(batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        raise raised

    threads = ConsumerThreads("test", break_down)
    threads.start()
    assert threads.failure is None
    threads.put(_delivery(1))
    wait_until(lambda: isinstance(threads.failure, failure), WAIT_SECONDS, "the lane fails")


def test_a_stop_in_the_middle_of_work_is_no_failure() -> None:
    def stop(batch: Sequence[Delivery], threads: ConsumerThreads) -> None:
        raise Stopped

    threads = ConsumerThreads("test", stop)
    threads.start()
    threads.put(_delivery(1))
    threads.join(time.monotonic() + WAIT_SECONDS)
    assert threads.failure is None
