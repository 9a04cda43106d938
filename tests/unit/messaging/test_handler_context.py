"""Deadlines: a call made inside a handler inherits what its own caller still waits."""

import threading
import time

from bus.messaging.handler_context import current_handler, longest_running, seconds_left


def test_outside_a_handler_a_call_has_its_own_time() -> None:
    assert seconds_left(5.0) == 5.0


def test_inside_a_handler_a_call_has_no_more_than_what_is_left() -> None:
    with current_handler("a.b", until=time.monotonic() + 60.0):
        assert seconds_left(1.0) == 1.0
        assert 1.0 < seconds_left(100.0) <= 60.0
    with current_handler("a.b", until=time.monotonic() - 1.0):
        assert seconds_left(5.0) == 0.0
    with current_handler("a.b"):
        assert seconds_left(5.0) == 5.0
    assert seconds_left(5.0) == 5.0


def test_what_takes_longest_is_known_of_every_thread() -> None:
    started, gate = threading.Event(), threading.Event()

    def hang() -> None:
        with current_handler("slow.one"):
            started.set()
            gate.wait(60)

    thread = threading.Thread(target=hang)
    thread.start()
    assert started.wait(30)
    with current_handler("quick.one"):
        found = longest_running([thread.ident, threading.get_ident(), None])
    gate.set()
    thread.join(30)
    assert found is not None
    assert found.operation == "slow.one"
    assert longest_running([thread.ident]) is None
