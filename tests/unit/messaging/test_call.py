"""Calls: a call made inside a handler inherits the deadline of the handled call, and handlers are timed."""

import math
import threading
import time

from support.example_service import Count, Keep

from bus.contract.validation import decode
from bus.messaging.call import Call, current_handler, longest_running, seconds_left
from catalog.contract import CreateProduct


def _call(until: float = math.inf) -> Call:
    return Call(Keep, Keep(word="a"), None, until=until)


def test_outside_a_handler_a_call_has_its_own_time() -> None:
    assert seconds_left(5.0) == 5.0


def test_inside_a_handler_a_call_has_no_more_than_what_is_left() -> None:
    with current_handler([_call(time.monotonic() + 60.0)]):
        assert seconds_left(1.0) == 1.0
        assert 1.0 < seconds_left(100.0) <= 60.0
    with current_handler([_call(time.monotonic() - 1.0)]):
        assert seconds_left(5.0) == 0.0
    with current_handler([_call()]):
        assert seconds_left(5.0) == 5.0
    assert seconds_left(5.0) == 5.0


def test_a_batch_handler_has_the_time_of_the_caller_that_stops_waiting_first() -> None:
    with current_handler([_call(), _call(time.monotonic() + 60.0)]):
        assert 1.0 < seconds_left(100.0) <= 60.0


def test_calls_that_are_handled_together_share_the_time() -> None:
    calls = [_call(), _call()]
    with current_handler(calls):
        time.sleep(0.02)
    assert [call.timing.shared_by for call in calls] == [2, 2]
    assert calls[0].timing.seconds == calls[1].timing.seconds
    assert (calls[0].timing.seconds or 0.0) >= 0.01


def test_the_longest_running_handler_is_found_among_the_threads() -> None:
    started, gate = threading.Event(), threading.Event()

    def hang() -> None:
        with current_handler([_call()]):
            started.set()
            gate.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    assert started.wait(30)
    with current_handler([Call(Count, Count(word="a"), None)]):
        found = longest_running([thread.ident, threading.get_ident(), None])
    gate.set()
    thread.join(30)
    assert found is not None
    assert found.operation == "example.keep"
    assert longest_running([thread.ident]) is None


def test_the_same_amounts_are_the_same_request_however_they_are_written() -> None:
    def digest(price: str, quantity: int = 3) -> bytes:
        body = b'{"name": "Lamp", "price": %s, "quantity": %d}' % (price.encode(), quantity)
        return Call(CreateProduct, decode(body, CreateProduct), "1").digest

    assert digest("9.90") == digest("9.9") == digest("99e-1")
    assert digest("100") == digest("1e2") == digest("100.00")
    assert digest("9.90") != digest("9.91")
    assert digest("9.90") != digest("9.90", 4)
