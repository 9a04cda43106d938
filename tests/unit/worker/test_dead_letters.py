"""The consumer of dead letters: one letter that cannot be stored stops neither the worker nor the others."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from support.dead_letters import letters_in

from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.message import Delivery, Message
from bus.security.service_keys import LetterKey
from bus.worker import dead_letters as module
from bus.worker.dead_letters import DeadLetterConsumer
from bus.worker.threads import DatabaseWaits
from catalog.handlers import catalog


class Transport:
    """Keeps what was acknowledged and published."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.published: list[Message] = []

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += [delivery.tag for delivery in deliveries]

    def publish(self, message: Message) -> None:
        self.published.append(message)


class DefectInTheLibrary(Exception):
    """What nobody foresaw; its text quotes the message."""


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def _handle(database: Database, *bodies: bytes) -> list[int]:
    """Handle one batch; returns the numbers of the messages that were acknowledged."""
    migrate(database, "catalog.migrations")
    transport: Any = Transport()
    stopping = threading.Event()
    waits = DatabaseWaits("catalog", database, stopping)
    consumer = DeadLetterConsumer(catalog, database, transport, LetterKey(database), stopping, waits, None)
    messages = (Message(queue="catalog.dead", body=body) for body in bodies)
    batch = [
        Delivery(message=message, tag=tag, session=1, deaths=0, received_at=0.0) for tag, message in enumerate(messages)
    ]
    consumer.handle_batch(batch, None)  # type: ignore[arg-type]  # it does not use its threads
    return list(transport.acknowledged)


def _failing_with(body: bytes, function: Callable[..., Any], place: Callable[..., Sequence[Any]]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        if any(each.body == body for each in place(*arguments)):
            raise DefectInTheLibrary(body)
        return function(*arguments)

    return call


def test_a_letter_that_cannot_be_read_is_stored_as_unreadable(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = _failing_with(b"bad", module.read_dead_letter, lambda delivery, *_: [delivery.message])
    monkeypatch.setattr(module, "read_dead_letter", failing)
    assert _handle(database, b"one", b"bad", b"two") == [0, 1, 2]
    assert [letter.reason for letter in letters_in(database)] == ["unknown", "unreadable", "unknown"]


def test_a_letter_that_the_database_does_not_take_is_stored_without_its_content(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "store", _failing_with(b"bad", module.store, lambda _connection, letters: letters))
    assert _handle(database, b"one", b"bad", b"two") == [0, 1, 2]
    assert [letter.reason for letter in letters_in(database)] == ["unknown", "unreadable", "unknown"]


def test_a_letter_that_cannot_be_stored_at_all_stays_in_its_queue(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "unreadable", lambda delivery, now: module.read_dead_letter(delivery, {}, now, b""))
    monkeypatch.setattr(module, "store", _failing_with(b"bad", module.store, lambda _connection, letters: letters))
    assert _handle(database, b"one", b"bad", b"two") == [0, 2]
    assert len(letters_in(database)) == 2
