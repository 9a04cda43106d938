"""Handlers send commands: if and once they commit, however long the other service is away."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.calling_services import Desk, Note, Once, Placed, PlaceOrder, Reserve, SoldOut, placed, reservation
from support.dead_letters import letters_in, wait_for_letters
from support.event_replays import replayed

from bus.client import liveness
from bus.contract.builtin import CommandOutcome, outcome_query_of, send_of
from bus.contract.codec import encode, read_json
from bus.contract.operator.events import EventFilter
from bus.contract.refusals import Refusal, Refused
from bus.database.tables import outbox
from bus.dead_letters.queries import newest
from bus.messaging.topology import Limits
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
        yield lambda shop, limits=LIMITS: stack.enter_context(Desk(memory_url, tmp_path, limits, shop))


def _order(quantity: int = 2) -> PlaceOrder:
    return PlaceOrder(thing="lamp", quantity=quantity)


def _sending(after_send: Callable[[], None] = lambda: None) -> tuple[Service, list[str]]:
    """A shop that sends what it takes, and the ids that it was told."""
    shop, ids = Service("shop", sends=[Reserve]), list[str]()

    @shop.handles(PlaceOrder)
    def place_order(command: PlaceOrder, work: Work) -> Placed:
        ids.append(work.send(Reserve(thing=command.thing, quantity=command.quantity)))
        after_send()
        return Placed(id=len(ids), reservation_id=0)

    return shop, ids


def _outcome(desk: Desk, message_id: str) -> CommandOutcome:
    query = encode(outcome_query_of("shop")(message_id=message_id))
    reply = desk.client.exchange(outcome_query_of("shop"), query, timeout=WAIT_SECONDS)
    return read_json(reply.body, CommandOutcome)


def _wait_until_done(desk: Desk, message_id: str) -> CommandOutcome:
    wait_until(lambda: _outcome(desk, message_id).state == "done", WAIT_SECONDS, "it is done")
    return _outcome(desk, message_id)


def test_what_a_handler_sends_is_carried_out_once_it_has_committed(start: Start) -> None:
    fault = Once(ValueError("after it was sent"))
    shop, ids = _sending(fault)
    desk = start(shop)
    desk.client.call(_order(), timeout=WAIT_SECONDS)
    done = _wait_until_done(desk, ids[1])
    assert (done.status, json.loads(bytes(done.reply))) == (
        200,
        {"operation": "store.reserve", "status": 201, "body": {"id": 1}},
    )
    assert fault.times == 2
    assert desk.rows(reservation) == [{"thing": "lamp", "quantity": 2}]  # the first run sent nothing


def test_a_sent_command_that_is_delivered_twice_is_carried_out_once(start: Start) -> None:
    shop, ids = _sending()
    desk = start(shop)
    desk.client.call(_order(), timeout=WAIT_SECONDS)
    _wait_until_done(desk, ids[0])
    with desk.databases["shop"].transaction() as transaction:
        transaction.connection.execute(outbox.update().values(sent_at=None))
    wait_until(lambda: not _unsent(desk), WAIT_SECONDS, "it was published again")
    desk.client.call(_order(3), timeout=WAIT_SECONDS)
    _wait_until_done(desk, ids[1])
    assert [row["quantity"] for row in desk.rows(reservation)] == [2, 3]
    assert letters_in(desk.databases["shop"]) == []


def _unsent(desk: Desk) -> int:
    with desk.databases["shop"].reading() as transaction:
        return len(transaction.connection.execute(outbox.select().where(outbox.c.sent_at.is_(None))).all())


def test_while_the_other_service_is_away_it_waits_and_uses_up_no_try(start: Start) -> None:
    shop, ids = _sending()
    desk = start(shop, Limits(retry_seconds=(1,)))
    desk.stop("store")
    time.sleep(liveness.FRESH_SECONDS)
    desk.client.call(_order(), timeout=WAIT_SECONDS)  # and nobody waits for it
    time.sleep(2.5)  # a fault would have had all its tries by now
    assert _outcome(desk, ids[0]).state == "pending"
    desk.start("store")
    _wait_until_done(desk, ids[0])
    assert len(desk.rows(reservation)) == 1
    assert letters_in(desk.databases["shop"]) == []


def test_a_refusal_is_given_to_the_function_for_it_with_one_effect(start: Start) -> None:
    shop, ids = _sending()
    fault = Once(ValueError("in the function"))
    given: list[tuple[Reserve, type]] = []

    @shop.on_refused(Reserve)
    def too_many(command: Reserve, refusal: Refusal | Refused, work: Work) -> None:
        given.append((command, type(refusal)))
        work.connection.execute(placed.insert().values(thing=refusal.problem.code, reservation_id=0))
        work.send(Reserve(thing=command.thing, quantity=1))
        fault()

    desk = start(shop)
    desk.client.call(_order(quantity=6), timeout=WAIT_SECONDS)
    done = _wait_until_done(desk, ids[0])
    wait_until(lambda: len(desk.rows(reservation)) == 1, WAIT_SECONDS, "what the function sent is done")
    assert given == [(Reserve(thing="lamp", quantity=6), SoldOut)] * 2
    assert desk.rows(placed) == [{"thing": "store.sold_out", "reservation_id": 0}]
    assert [row["quantity"] for row in desk.rows(reservation)] == [1]
    assert json.loads(bytes(done.reply))["body"]["code"] == "store.sold_out"
    assert letters_in(desk.databases["shop"]) == []


def test_a_refusal_without_a_function_is_a_dead_letter_of_the_sender(start: Start) -> None:
    shop, ids = _sending()
    desk = start(shop)
    desk.client.call(_order(quantity=6), timeout=WAIT_SECONDS)
    (letter,) = wait_for_letters(desk.databases["shop"], 1)
    assert (letter.operation, letter.message_id, letter.reason) == ("shop.send", ids[0], "refused")
    assert "store.sold_out" in _detail_of(desk, letter.id)
    assert letters_in(desk.databases["store"]) == []


def test_only_what_the_service_declares_is_sent(start: Start) -> None:
    shop = Service("shop", sends=[Reserve])

    @shop.handles(PlaceOrder)
    def place_order(command: PlaceOrder, work: Work) -> Placed:
        work.send(Note(thing=command.thing))
        return Placed(id=1, reservation_id=0)

    desk = start(shop, Limits(retry_seconds=()))
    desk.client.send(_order())
    (letter,) = wait_for_letters(desk.databases["shop"], 1)
    assert "shop does not declare this: Service(…, sends=[Note])" in _detail_of(desk, letter.id)


def test_what_others_publish_to_the_queue_of_sent_commands_is_refused(start: Start) -> None:
    """It would be carried out in the name of the service."""
    desk = start(_sending()[0])
    forged = send_of("shop")(operation="store.reserve", body='{"thing":"lamp","quantity":1}')
    with pytest.raises(Refused, match="Only the service itself sends this"):
        desk.client.call(forged, timeout=WAIT_SECONDS)
    assert desk.rows(reservation) == []


def test_periodic_tasks_and_handlers_of_many_send_too(start: Start) -> None:
    shop = Service("shop", sends=[Reserve, Note])

    @shop.handles_many(Note)
    def note(commands: list[Note], work: Work) -> list[Placed]:
        for command in commands:
            work.send(Reserve(thing=command.thing, quantity=1), command)
        return [Placed(id=1, reservation_id=0)] * len(commands)

    fault = Once(ValueError("after it was sent"))

    @shop.every(0.5)
    def note_own(work: Work) -> None:
        if fault.times < 2:
            work.send(Note(thing="own"))  # of the same service
            fault()

    desk = start(shop)
    desk.client.call(Note(thing="lamp"), timeout=WAIT_SECONDS)
    wait_until(lambda: len(desk.rows(reservation)) == 2, WAIT_SECONDS, "both are carried out")
    assert fault.times == 2  # what the first run sent was undone
    assert sorted(row["thing"] for row in desk.rows(reservation)) == ["lamp", "own"]


def test_sent_commands_are_no_events_that_a_replay_sends_again(start: Start) -> None:
    shop, ids = _sending()
    desk = start(shop)
    desk.client.call(_order(), timeout=WAIT_SECONDS)
    _wait_until_done(desk, ids[0])
    with desk.databases["shop"].reading() as transaction:
        assert len(transaction.connection.execute(outbox.select()).all()) == 1
    assert replayed(desk.databases["shop"], EventFilter(since=datetime(2000, 1, 1, tzinfo=UTC)), None) == []


def _detail_of(desk: Desk, number: int) -> str:
    with desk.databases["shop"].reading() as transaction:
        letter = newest(transaction.connection, str(number))
    assert letter is not None
    return letter.detail
