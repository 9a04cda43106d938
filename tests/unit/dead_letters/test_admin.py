"""DeadLetterAdmin: what an operator reads, and what is recorded of an action."""

from datetime import UTC, datetime

from support.dead_letters import LETTER_KEY, delivery_of

from bus.database.engine import Database
from bus.dead_letters.admin import DeadLetterAdmin
from bus.dead_letters.envelope import dead_letter
from bus.dead_letters.queries import DeadLetterFilter
from bus.dead_letters.reading import read_dead_letter
from bus.dead_letters.store import store
from bus.messaging.message import Message
from catalog.handlers import catalog


def _admin(database: Database, *message_ids: str) -> DeadLetterAdmin:
    requests = [Message(queue="catalog.create_product", body=b"{}", message_id=each) for each in message_ids]
    messages = [
        dead_letter(each, "catalog", each.body, key=LETTER_KEY, reason="fault", detail="Why.") for each in requests
    ]
    now = datetime.now(UTC)
    letters = [read_dead_letter(delivery_of(each), catalog.operations, now, LETTER_KEY) for each in messages]
    with database.transaction() as transaction:
        store(transaction.connection, letters)
    return DeadLetterAdmin(catalog.operations, database, "ann@here")


def test_dead_letters_are_counted_listed_and_shown(database: Database) -> None:
    admin = _admin(database, "order-1", "order-2")
    (group,) = admin.groups(DeadLetterFilter(), 10)
    assert (group.operation, group.count) == ("catalog.create_product", 2)
    assert [letter.message_id for letter in admin.letters(DeadLetterFilter(which="order-2"), 10)] == ["order-2"]
    assert len(admin.letters(DeadLetterFilter(), 1)) == 1
    letter = admin.letter("order-1")
    assert letter is not None
    assert letter.body == b"{}"
    assert admin.letter("order-3") is None


def test_an_action_records_its_operator_and_its_filter(database: Database) -> None:
    admin = _admin(database, "order-1", "order-2")
    letter_filter = DeadLetterFilter(operation="catalog.create_product")
    action_id = admin.begin("discard", letter_filter, admin.letters(letter_filter, 1))
    action = admin.action(action_id)
    assert action is not None
    assert (action.made_by, action.chosen_by) == ("ann@here", "--operation catalog.create_product")
    assert (action.kind, action.letters) == ("discard", 1)
    assert admin.actions(10) == [action]
    assert admin.action(action_id + 1) is None
    assert [letter.state for letter in admin.letters(DeadLetterFilter(), 10)] == ["discarded", "dead"]
