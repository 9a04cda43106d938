"""The table of dead letters, on either kind of database."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import true, update
from support.dead_letters import LETTER_KEY, letters_in, store_dead_letters

from bus.contract.builtin import CommandOutcome, outcome_query_of
from bus.contract.identity import ANONYMOUS
from bus.contract.operator.actions import ActionBusy, UnknownAction
from bus.contract.operator.dead_letters import DeadLetterFilter
from bus.contract.times import time_of
from bus.database.actions import actions, claim_lease, release_lease
from bus.database.engine import Database
from bus.database.inbox import record
from bus.database.migrate import migrate
from bus.database.tables import dead_letter as table
from bus.database.tables import dead_letter_action
from bus.dead_letters.envelope import Fault, dead_letter
from bus.dead_letters.queries import grouped, newest, next_chosen
from bus.dead_letters.store import purge
from bus.dead_letters.taking import mark_replayed, take
from bus.messaging.call import Call
from bus.messaging.message import Message
from bus.messaging.replies import EncodedReply
from bus.service.work import Work
from bus.worker.builtins import builtin_handlers
from catalog.contract import CreateProduct
from catalog.handlers import catalog

LAMP = b'{"name":"Lamp","price":1,"quantity":1}'
BROKER_MOVED = {"x-death": [{"queue": "catalog.create_product", "reason": "expired", "count": 1}]}


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """The catalog's database, of both kinds in turn."""
    sqlite = request.param == "sqlite"
    database = Database(f"sqlite:///{tmp_path}/shop.db" if sqlite else request.getfixturevalue("database_url"))
    migrate(database, "catalog.migrations")
    yield database
    database.close()


def _buried(message_id: str | None = "1", reason: str = "fault", **more: Any) -> Message:
    request = Message(queue=more.pop("queue", "catalog.create_product"), body=LAMP, message_id=message_id)
    fault = Fault("Broken", "Traceback") if reason == "fault" else None
    return dead_letter(request, "catalog", LAMP, key=LETTER_KEY, reason=reason, detail="Why.", fault=fault, **more)


def _begin(database: Database, kind: Any, *letters: int) -> int:
    chosen = DeadLetterFilter(ids=letters, state="dead")
    with database.transaction() as transaction:
        return take(transaction.connection, kind, "ann@here", chosen, true(), len(letters), "why")[0]


def _states(database: Database) -> list[str]:
    return [letter.state for letter in letters_in(database)]


def _outcome(database: Database, message_id: str) -> CommandOutcome:
    handler = builtin_handlers(catalog)["catalog.get_outcome"]
    query = outcome_query_of("catalog")(message_id=message_id)
    with database.reading() as transaction:
        outcome = handler.function(query, Work(transaction, ANONYMOUS, "catalog"))
    assert isinstance(outcome, CommandOutcome)
    return outcome


# What is stored.


def test_a_letter_is_stored_with_everything_in_it(shop: Database) -> None:
    first = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    store_dead_letters(shop, catalog, _buried("order-1", attempts=4, first_at=first))
    with shop.reading() as transaction:
        letter = newest(transaction.connection, "order-1")
    assert letter is not None
    assert (letter.operation, letter.reason, letter.error_class) == ("catalog.create_product", "fault", "Broken")
    assert (letter.body, letter.whole, letter.traceback, letter.attempts) == (LAMP, True, "Traceback", 4)
    assert (letter.first_at, letter.state) == (first, "dead")
    assert timedelta() <= datetime.now(UTC) - letter.last_at < timedelta(minutes=1)


def test_a_letter_delivered_again_is_not_another(shop: Database) -> None:
    buried, moved = _buried(), Message(queue="catalog.dead", body=LAMP, headers=BROKER_MOVED)
    store_dead_letters(shop, catalog, buried, moved)
    store_dead_letters(shop, catalog, buried, moved, again=True)
    store_dead_letters(shop, catalog, buried)  # a worker that did not see the confirm publishes it once more
    assert len(letters_in(shop)) == 2


def test_equal_messages_that_come_for_the_first_time_are_as_many_letters(shop: Database) -> None:
    moved = Message(queue="catalog.dead", body=LAMP, headers=BROKER_MOVED)
    store_dead_letters(shop, catalog, moved, moved)
    store_dead_letters(shop, catalog, moved)
    assert len({letter.letter_id for letter in letters_in(shop)}) == 3


def test_a_batch_of_letters_is_stored_whatever_is_in_it(shop: Database) -> None:
    hostile = {"reason": "\x00", "detail": "\ud800\x00", "traceback": "\x00", "origin-queue": "\x00" * 300}
    store_dead_letters(
        shop, catalog, *(Message(queue="catalog.dead", body=b"\x00\xff", headers=hostile) for _ in range(100))
    )
    assert len(letters_in(shop)) == 100


# What is found.


def test_letters_are_counted_by_operation_and_cause(shop: Database) -> None:
    store_dead_letters(shop, catalog, *(_buried(f"{number}") for number in range(3)), _buried("9", "out-of-range"))
    with shop.reading() as transaction:
        groups = grouped(transaction.connection, DeadLetterFilter(state="dead"), 10)
    assert sorted((group.reason, group.error_class, group.count) for group in groups) == [
        ("fault", "Broken", 3),
        ("out-of-range", "", 1),
    ]
    assert all(group.first_at <= group.last_at <= datetime.now(UTC) for group in groups)


def test_every_filter_leaves_out_what_it_should(shop: Database) -> None:
    old, now = datetime.now(UTC) - timedelta(days=2), datetime.now(UTC)
    store_dead_letters(
        shop, catalog, _buried("1"), _buried("2", "out-of-range"), _buried("3", queue="catalog.delete_product")
    )
    with shop.transaction() as transaction:
        transaction.connection.execute(update(table).where(table.c.message_id == "2").values(last_at=old))
    number = letters_in(shop)[1].id
    letter_id = letters_in(shop)[2].letter_id
    for choice, found in (
        ({}, ["1", "2", "3"]),
        ({"operation": "catalog.delete_product"}, ["3"]),
        ({"error": "out-of-range"}, ["2"]),
        ({"error": "Broken"}, ["1", "3"]),
        ({"since": time_of("3h", now)}, ["1", "3"]),
        ({"since": time_of("3d", now)}, ["1", "2", "3"]),
        ({"which": letter_id}, ["3"]),
        ({"which": f"{number}"}, ["2"]),
        ({"which": "9" * 30}, []),
        ({"operation": "catalog.create_product", "error": "Broken"}, ["1"]),
        ({"state": "discarded"}, []),
    ):
        assert [letter.message_id for letter in letters_in(shop, **choice)] == found, choice


# What is done with them.


def test_an_action_takes_exactly_the_letters_it_was_shown(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried("1"), _buried("2"))
    shown = [letter.id for letter in letters_in(shop)]
    store_dead_letters(shop, catalog, _buried("3"))
    _begin(shop, "discard", *shown)
    assert _states(shop) == ["discarded", "discarded", "dead"]
    with shop.reading() as transaction:
        (action,) = actions(transaction.connection, 10)
    assert (action.kind, action.made_by, action.reason) == ("discard", "ann@here", "why")
    assert (action.taken, action.left) == (2, 0)


def test_no_letter_belongs_to_two_actions(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried("1"), _buried("2"))
    one, two = (letter.id for letter in letters_in(shop))
    first, second = _begin(shop, "replay", one), _begin(shop, "replay", one, two)
    assert [letter.action_id for letter in letters_in(shop)] == [first, second]
    with shop.reading() as transaction:
        assert [action.taken for action in actions(transaction.connection, 10)] == [1, 1]


def test_one_worker_at_a_time_sends_an_actions_letters(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried())
    action = _begin(shop, "replay", letters_in(shop)[0].id)
    with shop.transaction() as transaction:
        assert claim_lease(transaction.connection, action, "one").left == 1
    with pytest.raises(ActionBusy), shop.transaction() as transaction:
        claim_lease(transaction.connection, action, "two")
    with shop.transaction() as transaction:
        release_lease(transaction.connection, action, "two")  # what it does not hold it cannot let go
    with pytest.raises(ActionBusy), shop.transaction() as transaction:
        claim_lease(transaction.connection, action, "two")
    with shop.transaction() as transaction:
        release_lease(transaction.connection, action, "one")
        claim_lease(transaction.connection, action, "dead")
        past = datetime.now(UTC) - timedelta(seconds=1)
        transaction.connection.execute(update(dead_letter_action).values(held_until=past))
        assert claim_lease(transaction.connection, action, "next").left == 1


def test_there_is_nothing_to_send_of_a_discard_or_of_nothing(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried())
    discard = _begin(shop, "discard", letters_in(shop)[0].id)
    for action in (discard, 4711):
        with pytest.raises(UnknownAction), shop.transaction() as transaction:
            claim_lease(transaction.connection, action, "one")


def test_old_letters_that_were_dealt_with_are_purged_a_few_at_a_time_and_dead_ones_never(shop: Database) -> None:
    store_dead_letters(shop, catalog, *(_buried(f"{number}") for number in range(6)))
    ids = [letter.id for letter in letters_in(shop)]
    _begin(shop, "discard", *ids[:3])
    _begin(shop, "replay", *ids[3:5])
    with shop.transaction() as transaction:
        mark_replayed(transaction.connection, [(ids[3], "3")])
        assert purge(transaction.connection, datetime.now(UTC) - timedelta(days=1), 10) == 0
        soon = datetime.now(UTC) + timedelta(seconds=1)
        assert [purge(transaction.connection, soon, 3), purge(transaction.connection, soon, 3)] == [3, 1]
    assert _states(shop) == ["chosen", "dead"]


# What the caller is told.


def test_the_outcome_of_a_dead_command_is_told_until_it_is_done(shop: Database) -> None:
    assert _outcome(shop, "1") == CommandOutcome(id="1", state="pending")
    store_dead_letters(shop, catalog, _buried("1"))
    dead = CommandOutcome(id="1", state="dead", reason="fault", discarded=False)
    assert _outcome(shop, "1") == dead
    _begin(shop, "replay", letters_in(shop)[0].id)
    assert _outcome(shop, "1") == dead
    with shop.transaction() as transaction:
        mark_replayed(transaction.connection, [(letters_in(shop)[0].id, "1")])
    assert _outcome(shop, "1") == CommandOutcome(id="1", state="pending")
    store_dead_letters(shop, catalog, _buried("1", "expired"))
    assert _outcome(shop, "1").reason == "expired"
    _done(shop, "1")
    assert (_outcome(shop, "1").state, _outcome(shop, "1").status) == ("done", 201)


def test_who_asks_for_a_discarded_command_is_told_so(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried("1"))
    _begin(shop, "discard", letters_in(shop)[0].id)
    assert _outcome(shop, "1") == CommandOutcome(id="1", state="dead", reason="fault", discarded=True)


def test_the_outcome_of_a_mended_command_is_found_under_the_first_id(shop: Database) -> None:
    store_dead_letters(shop, catalog, _buried("1"))
    _begin(shop, "edit", letters_in(shop)[0].id)
    with shop.transaction() as transaction:
        mark_replayed(transaction.connection, [(letters_in(shop)[0].id, "mended")])
    assert _outcome(shop, "1").state == "pending"
    _done(shop, "mended")
    assert (_outcome(shop, "1").id, _outcome(shop, "1").state) == ("1", "done")


def test_the_next_letters_of_an_action_are_its_first_that_are_not_sent(shop: Database) -> None:
    store_dead_letters(shop, catalog, *(_buried(f"{number}") for number in range(4)))
    one, two, three, _ = (letter.id for letter in letters_in(shop))
    action = _begin(shop, "replay", three, two, one)
    with shop.transaction() as transaction:
        mark_replayed(transaction.connection, [(one, "1")])
        assert [letter.id for letter in next_chosen(transaction.connection, action, 1)] == [two]
        assert [letter.id for letter in next_chosen(transaction.connection, action, 9)] == [two, three]
        mark_replayed(transaction.connection, [(two, "2"), (three, "3")])
        assert next_chosen(transaction.connection, action, 9) == []


def _done(database: Database, message_id: str) -> None:
    call = Call(CreateProduct, CreateProduct(name="Lamp", price=1, quantity=1), message_id)  # type: ignore[arg-type]
    with database.transaction() as transaction:
        record(transaction.connection, [(call, EncodedReply(201, b"{}"))])
