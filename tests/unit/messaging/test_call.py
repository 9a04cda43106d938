"""Calls: what a call made inside a handler inherits, its id, its digest; and handlers are timed."""

import math
import threading
import time
from typing import Any

import pytest
from support.example_service import Count, Keep, KeepAll

from auth.contract import Register
from bus.contract.identity import Caller
from bus.contract.validation import decode
from bus.messaging.call import Call, current_handler, longest_running, next_depth, seconds_left
from bus.messaging.message import check_message_id
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


def test_a_call_made_in_a_handler_is_one_deeper() -> None:
    assert next_depth() == 0
    with current_handler([_with_id("1", depth=2)]):
        assert next_depth() == 3
    with current_handler([_with_id("1"), _with_id("2", depth=7)]):
        assert next_depth() == 8


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


def _with_id(message_id: str | None, **more: Any) -> Call:
    return Call(Keep, Keep(word="a"), message_id, **more)


def test_every_try_of_a_call_gives_the_same_ids_to_what_it_calls() -> None:
    ids = [_with_id("1", attempt=attempt).derived_id(Count, 1) for attempt in (1, 2)]
    assert ids[0] == ids[1]
    check_message_id(ids[0])


def test_different_things_have_different_ids() -> None:
    ids = [
        _with_id("1").derived_id(Count, 1),
        _with_id("1").derived_id(Count, 2),
        _with_id("1").derived_id(KeepAll, 1),
        _with_id("2").derived_id(Count, 1),
        _with_id("1", caller=Caller(id="ann")).derived_id(Count, 1),
        _with_id("1", kind="event").derived_id(Count, 1),
        Call(KeepAll, KeepAll(word="a"), "1").derived_id(Count, 1),
        *(_with_id(None).derived_id(Count, 1) for _ in range(2)),
    ]
    assert len({*ids}) == len(ids)


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (Register(username="ann", email="a@b.example", password="a"), []),
        (Register(username="ann", email="a@b.example", password="b"), []),  # secrets are not compared
        (Register(username="bob", email="a@b.example", password="a"), ["username"]),
        (Register(username="bob", email="b@b.example", password="a"), ["username", "email"]),
    ],
)
def test_a_digest_says_which_fields_differ(other: Register, fields: list[str]) -> None:
    one = Call(Register, Register(username="ann", email="a@b.example", password="a"), "1")
    two = Call(Register, other, "1")
    assert two.differences(one.digest) == fields
    assert two.is_like(one.digest) is not bool(fields)


def test_requests_of_two_operations_differ_in_more_than_fields() -> None:
    one, two = Call(Keep, Keep(word="a"), "1"), Call(KeepAll, KeepAll(word="b"), "1")
    assert not two.is_like(one.digest)
    assert two.differences(one.digest) == []
