"""A handler calls another service: once, however often it runs, and patiently while the other is away."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.calling_services import (
    Circle,
    Desk,
    GetOffer,
    Note,
    Once,
    Placed,
    PlaceOrder,
    Reserve,
    SoldOut,
    make_shop,
    placed,
    reservation,
)
from support.dead_letters import letters_in, wait_for_letters

from bus.client import liveness
from bus.contract.builtin import outcome_query_of
from bus.contract.codec import encode
from bus.contract.problems import Invalid, ReplyTimeout, Unavailable
from bus.contract.refusals import Refused
from bus.dead_letters.queries import newest
from bus.messaging.topology import Limits
from bus.messaging.trace_context import begin
from bus.service.service import Service
from bus.service.work import Work
from bus.testing.waiting import wait_until

WAIT_SECONDS = 60.0
LIMITS = Limits(retry_seconds=(1, 2))

Start = Callable[..., Desk]


@pytest.fixture
def start(memory_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts both services on the embedded broker."""
    with ExitStack() as stack:
        yield lambda shop=None, limits=LIMITS: stack.enter_context(Desk(memory_url, tmp_path, limits, shop))


def _order(quantity: int = 2) -> PlaceOrder:
    return PlaceOrder(thing="lamp", quantity=quantity)


def _outcome(desk: Desk, message_id: str) -> str:
    query = encode(outcome_query_of("shop")(message_id=message_id))
    return str(json.loads(desk.client.exchange(outcome_query_of("shop"), query, timeout=WAIT_SECONDS).body)["state"])


def test_a_handler_gets_the_reply_of_another_service(start: Start) -> None:
    desk = start()
    reply = desk.client.call(_order(), timeout=WAIT_SECONDS)
    assert desk.rows(reservation) == [{"thing": "lamp", "quantity": 2}]
    assert desk.rows(placed) == [{"thing": "lamp", "reservation_id": reply.reservation_id}]


def test_a_refusal_of_the_other_service_passes_through_as_its_own_class(start: Start) -> None:
    desk = start()
    with pytest.raises(SoldOut) as refused:
        desk.client.call(_order(quantity=6), timeout=WAIT_SECONDS)
    assert (refused.value.problem.status, refused.value.problem.code) == (409, "store.sold_out")
    assert desk.rows(placed) == []


def test_a_query_calls_a_query_in_its_trace(start: Start) -> None:
    desk, trace = start(), begin()
    reply = desk.client.exchange(GetOffer, b'{"thing":"lamp"}', timeout=WAIT_SECONDS, trace=trace)
    for expected in (b'"depth":1', trace.trace_id.encode()):
        assert expected in reply.body


def test_a_fault_after_the_call_has_the_handler_run_again_and_the_other_service_once(start: Start) -> None:
    fault = Once(ValueError("the first time"))
    desk = start(make_shop(after_call=fault))
    desk.client.call(_order(), timeout=WAIT_SECONDS)
    assert fault.times == 2
    assert len(desk.rows(reservation)) == len(desk.rows(placed)) == 1


def test_a_command_that_is_delivered_twice_calls_once(start: Start) -> None:
    desk = start()
    ids = ["order-1"] * 3 + ["order-2"]
    replies = [desk.client.call(_order(), message_id=message_id, timeout=WAIT_SECONDS) for message_id in ids]
    assert [reply.reservation_id for reply in replies] == [1, 1, 1, 2]
    assert len(desk.rows(reservation)) == len(desk.rows(placed)) == 2


def test_another_try_with_another_body_is_an_error_that_names_the_fields(start: Start) -> None:
    quantities = iter([1, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    shop = make_shop(quantity_of=lambda _: next(quantities), after_call=Once(ValueError("the first time")))
    desk = start(shop, Limits(retry_seconds=(1,)))
    desk.client.send(_order(), message_id="order-1")
    (letter,) = wait_for_letters(desk.databases["shop"], 1)
    assert (letter.reason, letter.error_class) == ("fault", "OtherBody")
    assert desk.rows(reservation) == [{"thing": "lamp", "quantity": 1}]
    detail = _detail_of(desk, letter.id)
    assert "shop.place_order has called store.reserve before under the id" in detail
    assert "Fields that differ: quantity." in detail


def _detail_of(desk: Desk, number: int) -> str:

    with desk.databases["shop"].reading() as transaction:
        letter = newest(transaction.connection, str(number))
    assert letter is not None
    return letter.detail


def test_while_the_other_service_is_away_a_command_is_kept_and_others_go_on(start: Start) -> None:
    attempts: list[int] = []
    shop = make_shop(after_call=lambda _, work: attempts.append(work.attempt))
    desk = start(shop, Limits(retry_seconds=(1,)))
    desk.stop("store")
    time.sleep(liveness.FRESH_SECONDS)
    with pytest.raises(ReplyTimeout) as late:  # 202: it is kept
        desk.client.call(_order(), message_id="order-1", timeout=WAIT_SECONDS)
    assert late.value.message_id == "order-1"
    desk.client.call(Note(thing="lamp"), timeout=WAIT_SECONDS)
    time.sleep(2.5)  # a fault would have had all its tries by now
    assert _outcome(desk, "order-1") == "pending"
    desk.start("store")
    wait_until(lambda: _outcome(desk, "order-1") == "done", WAIT_SECONDS, "the order is done")
    assert attempts == [1]
    assert len(desk.rows(reservation)) == 1
    assert letters_in(desk.databases["shop"]) == []


def test_a_command_is_given_up_when_the_other_service_stays_away(start: Start) -> None:
    desk = start(None, Limits(retry_seconds=(1,), give_up_hours=1 / 3600))
    desk.stop("store")
    time.sleep(liveness.FRESH_SECONDS)
    desk.client.send(_order(), message_id="order-1")
    (letter,) = wait_for_letters(desk.databases["shop"], 1)
    assert (letter.reason, letter.attempts) == ("called-service-away", 1)
    assert "No worker of store answers." in _detail_of(desk, letter.id)


def test_a_query_whose_other_service_is_away_is_unavailable(start: Start) -> None:
    desk = start()
    desk.stop("store")
    time.sleep(liveness.FRESH_SECONDS)
    with pytest.raises(Unavailable) as unavailable:
        desk.client.call(GetOffer(thing="lamp"), timeout=WAIT_SECONDS)
    assert unavailable.value.problem.code == "called-service-away"


def test_services_that_call_each_other_in_a_circle_are_refused(start: Start) -> None:
    desk = start()
    with pytest.raises((Refused, Invalid)) as refused:
        desk.client.call(Circle(), timeout=WAIT_SECONDS)
    assert (refused.value.problem.status, refused.value.problem.code) == (422, "call-too-deep")
    assert letters_in(desk.databases["shop"]) == letters_in(desk.databases["store"]) == []


def test_a_call_in_an_open_transaction_is_logged_once(start: Start) -> None:
    shop = Service("shop")

    @shop.handles(PlaceOrder, calls=[Reserve])
    def place_order(command: PlaceOrder, work: Work) -> Placed:
        _ = work.connection
        reserved = work.call(Reserve(thing=command.thing, quantity=command.quantity))
        return Placed(id=1, reservation_id=reserved.id)

    desk = start(shop)
    with capture_logs() as logs:
        for _ in range(2):
            desk.client.call(_order(), timeout=WAIT_SECONDS)
    (line,) = [line for line in logs if line["event"] == "call_in_transaction"]
    assert line["log_level"] == "debug"
    assert (line["operation"], line["calls"]) == ("shop.place_order", "store.reserve")


def test_a_call_that_is_not_declared_is_a_fault_that_says_what_to_write(start: Start) -> None:
    shop = Service("shop")

    @shop.handles(Note)
    def note(command: Note, work: Work) -> Placed:
        reserved = work.call(Reserve(thing=command.thing, quantity=1))
        return Placed(id=1, reservation_id=reserved.id)

    desk = start(shop, Limits(retry_seconds=()))
    desk.client.send(Note(thing="lamp"))
    (letter,) = wait_for_letters(desk.databases["shop"], 1)
    assert "shop.note does not declare this call: calls=[Reserve]" in _detail_of(desk, letter.id)
