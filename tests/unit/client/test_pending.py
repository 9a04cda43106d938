"""Pending calls: the result of a call for every order of confirm, reply and deadline."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec import structs
from support.example_service import Count, Keep

from bus.client.pending import Deadlines, PendingCall, PendingCalls
from bus.contract.problems import ReplyTimeout, Unavailable
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome
from bus.testing.waiting import wait_until

REPLY = Message(queue="reply", body=b"{}", headers={"status": 201})
# No test waits that long: another event ends the wait.
LONG_SECONDS = 60.0
QUICK_SECONDS = 20.0


def _call(
    *results: Message | PublishOutcome | None, timeout: float = LONG_SECONDS, wait: float = LONG_SECONDS
) -> PendingCall:
    call = PendingCall(Deadlines.of(timeout, wait))
    for each in results:
        if isinstance(each, PublishOutcome):
            call.settle(each)
        else:
            call.results.put(each)
    return call


@pytest.mark.parametrize("wait", [0.0, QUICK_SECONDS, LONG_SECONDS])
def test_a_reply_ends_the_call_even_before_the_confirm(wait: float) -> None:
    assert _call(REPLY, wait=wait).wait(Keep, "id") is REPLY
    assert _call(REPLY, PublishOutcome.CONFIRMED, wait=max(wait, QUICK_SECONDS)).wait(Keep, "id") is REPLY


def test_a_command_without_time_for_a_reply_ends_with_its_confirm() -> None:
    call = _call(wait=0.0)
    started = time.monotonic()
    threading.Timer(0.2, call.settle, [PublishOutcome.CONFIRMED]).start()
    with pytest.raises(ReplyTimeout) as late:
        call.wait(Keep, "id")
    assert 0.2 <= time.monotonic() - started < QUICK_SECONDS
    assert late.value.message_id == "id"


def test_a_command_without_time_for_a_reply_ends_so_even_if_the_reply_is_there() -> None:
    with pytest.raises(ReplyTimeout):
        _call(PublishOutcome.CONFIRMED, REPLY, wait=0.0).wait(Keep, "id")


def test_a_call_waits_for_the_confirm_beyond_the_time_for_the_reply() -> None:
    call = _call(wait=0.1)
    threading.Timer(0.4, call.settle, [PublishOutcome.CONFIRMED]).start()
    with pytest.raises(ReplyTimeout):
        call.wait(Keep, "id")


def test_after_the_confirm_a_call_waits_for_the_reply() -> None:
    call = _call(PublishOutcome.CONFIRMED, wait=QUICK_SECONDS)
    threading.Timer(0.2, call.results.put, [REPLY]).start()
    assert call.wait(Keep, "id") is REPLY


@pytest.mark.parametrize("wait", [0.0, 0.1, 0.3])
def test_a_command_without_a_confirm_has_an_unknown_outcome(wait: float) -> None:
    with pytest.raises(Unavailable) as unknown:
        _call(timeout=0.3, wait=wait).wait(Keep, "id")
    assert unknown.value.problem.code == "outcome-unknown"


@pytest.mark.parametrize("wait", [0.0, LONG_SECONDS])
@pytest.mark.parametrize("outcome", [each for each in PublishOutcome if each is not PublishOutcome.CONFIRMED], ids=str)
def test_a_command_that_the_broker_refuses_raises_unavailable_at_once(outcome: PublishOutcome, wait: float) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        _call(outcome, wait=wait).wait(Keep, "id")
    assert time.monotonic() - started < QUICK_SECONDS


@pytest.mark.parametrize("wait", [0.0, 1.0, LONG_SECONDS])
def test_when_replies_are_lost_a_command_ends_with_the_brokers_outcome(wait: float) -> None:
    with pytest.raises(ReplyTimeout):
        _call(PublishOutcome.CONFIRMED, None, wait=wait).wait(Keep, "id")
    with pytest.raises(ReplyTimeout):
        _call(None, PublishOutcome.CONFIRMED, wait=wait).wait(Keep, "id")
    for outcomes in ([], [PublishOutcome.UNKNOWN]):
        with pytest.raises(Unavailable) as unknown:
            _call(None, *outcomes, wait=wait).wait(Keep, "id")
        assert unknown.value.problem.code == "outcome-unknown"


def test_a_query_ends_when_its_time_is_over_confirmed_or_not() -> None:
    for outcomes in ([], [PublishOutcome.CONFIRMED]):
        with pytest.raises(ReplyTimeout):
            _call(*outcomes, wait=0.1).wait(Count, "id")
    assert _call(REPLY, wait=0.0).wait(Count, "id") is REPLY


class Broker:
    """Stands for a broker: confirms each message."""

    def __init__(self) -> None:
        self.reply_address = "replies"
        self.sent: list[Message] = []

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None]) -> None:
        on_outcome(PublishOutcome.CONFIRMED)
        self.sent.append(message)


def _exchange(calls: PendingCalls, wait: float) -> Message:
    request = Message(queue="example.count", body=b"{}", message_id="id")
    return calls.exchange(Count, request, Deadlines.of(LONG_SECONDS, wait))


def test_nobody_can_guess_a_correlation_id() -> None:
    broker = Broker()
    calls = PendingCalls(broker, 10)  # type: ignore[arg-type]  # the part of one that is used
    for _ in range(100):
        with pytest.raises(ReplyTimeout):
            _exchange(calls, 0.0)
    ids = {str(message.correlation_id) for message in broker.sent}
    assert len(ids) == 100
    assert all(len(bytes.fromhex(each)) == 16 for each in ids)


@pytest.mark.parametrize(
    "wrong",
    [
        {"headers": {}},
        {"headers": {"status": 99_999}},
        {"headers": {"status": True}},
        {"headers": {"status": "200"}},
        {"headers": {"status": 302, "location": "/elsewhere"}},
        {"headers": {"status": 200}, "content_type": "text/html"},
        {"headers": {"status": 200}, "content_type": "application/problem+json"},
        {"headers": {"status": 503}, "content_type": "application/json"},
        {"headers": {"status": 201, "location": "https://example.org/"}},
        {"headers": {"status": 201, "location": "//example.org/"}},
        {"headers": {"status": 201, "location": "/a\r\nSet-Cookie: a=b"}},
        {"headers": {"status": 200, "etag": "7"}},
        {"headers": {"status": 200, "etag": '"7"\r\nSet-Cookie: a=b'}},
        {"headers": {"status": 503, "retry-after": -1}},
        {"headers": {"status": 503, "retry-after": "soon"}},
        {"headers": {"status": 503, "retry-after": [1]}},
        {"headers": {"status": 503, "retry-after": True}},
    ],
)
def test_what_no_worker_sends_is_dropped_and_counted_and_the_call_goes_on(wrong: dict[str, Any]) -> None:
    broker = Broker()
    calls = PendingCalls(broker, 10)  # type: ignore[arg-type]  # the part of one that is used
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_exchange, calls, LONG_SECONDS)
        wait_until(lambda: len(broker.sent) == 1, LONG_SECONDS, "the call waits")
        number = broker.sent[0].correlation_id
        for _ in range(2):
            calls.replied(Message(queue="replies", body=b"{}", correlation_id=number, **wrong))
        calls.replied(structs.replace(REPLY, correlation_id=number))
        assert waiting.result().headers == {"status": 201}
    assert (calls.invalid_replies, calls.late_replies) == (2, 0)


def test_a_lost_connection_for_replies_is_no_backlog() -> None:
    broker = Broker()
    calls = PendingCalls(broker, 10)  # type: ignore[arg-type]  # the part of one that is used
    request = Message(queue="example.keep", body=b"{}", message_id="id")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(calls.exchange, Keep, request, Deadlines.of(LONG_SECONDS, LONG_SECONDS))
        wait_until(lambda: len(broker.sent) == 1, LONG_SECONDS, "the call waits")
        calls.replies_lost()
        assert isinstance(waiting.exception(), ReplyTimeout)
    assert not calls.backlogs.is_hopeless("example.keep")
