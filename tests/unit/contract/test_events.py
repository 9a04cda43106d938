"""Events: declared with a name and a version, and found in their contract."""

import msgspec
import pytest

import auth.contract
import catalog.contract
from bus.contract.events import Event, events_in
from bus.contract.identity import ANONYMOUS
from bus.contract.validation import decode_event
from bus.database.engine import Database
from bus.service.service import Service
from bus.service.work import Work
from catalog.contract import ProductChanged


class Happened(Event, name="unit.happened"):
    """Something happened."""

    id: int
    version: int


def test_the_events_of_a_contract_are_listed_in_their_order() -> None:
    assert [event.operation_name for event in events_in(catalog.contract)] == [
        "catalog.product_changed",
        "catalog.stock_changed",
        "catalog.product_removed",
        "catalog.product_restored",
    ]
    assert [event.operation_name for event in events_in(auth.contract)] == [
        "auth.user_changed",
        "auth.user_deleted",
        "auth.token_reused",
        "auth.session_changed",
        "auth.totp_changed",
    ]


@pytest.mark.parametrize("name", ["happened", "unit.", "Unit.happened", "unit.happened.twice", "unit.reply"])
def test_an_invalid_name_is_refused_where_it_is_declared(name: str) -> None:
    with pytest.raises(TypeError, match="is not an event name"):

        class Bad(Event, name=name):
            version: int


def test_the_name_of_the_queue_of_sent_commands_is_refused() -> None:
    with pytest.raises(TypeError, match="the queue of sent commands"):

        class Bad(Event, name="unit.send"):
            version: int


def test_an_event_without_a_version_is_refused_where_it_is_declared() -> None:
    with pytest.raises(TypeError, match="needs a field `version`"):

        class Bad(Event, name="unit.bad"):
            id: int


def test_an_event_is_frozen() -> None:
    event = Happened(id=1, version=1)
    with pytest.raises(AttributeError):
        event.id = 2  # type: ignore[misc]


def test_fields_that_a_listener_does_not_know_are_ignored() -> None:
    assert decode_event(b'{"id": 1, "version": 2, "colour": "red"}', Happened) == Happened(id=1, version=2)


def test_a_body_without_a_field_that_it_knows_is_refused() -> None:
    with pytest.raises(Exception, match="version"):
        decode_event(b'{"id": 1}', Happened)


def test_an_event_keeps_the_digits_of_its_amounts() -> None:
    body = b'{"id": 1, "name": "Lamp", "price": 9.90, "quantity": 3, "available": 3, "version": 1}'
    assert str(decode_event(body, ProductChanged).price) == "9.90"
    assert msgspec.json.decode(body)["price"] == 9.9


def test_a_service_can_emit_only_its_own_events(database: Database) -> None:
    with database.transaction() as transaction:
        work = Work(transaction, ANONYMOUS, "auth")
        with pytest.raises(TypeError, match=r"unit\.happened belongs to another service than auth"):
            work.emit(Happened(id=1, version=1))
        assert transaction.outgoing == []


def test_an_event_has_one_listener_in_a_service_and_that_names_it() -> None:
    service = Service("unit")

    @service.on(Happened)
    def first(event: Happened, work: Work) -> None:
        """The one."""

    with pytest.raises(TypeError, match="has a listener already"):

        @service.on(Happened)
        def second(event: Happened, work: Work) -> None:
            """One too many."""

    with pytest.raises(TypeError, match="annotate its parameters"):

        @service.on(ProductChanged)  # type: ignore[arg-type]
        def other(event: Happened, work: Work) -> None:
            """Of something else."""
