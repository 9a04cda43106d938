"""The relay: sends what is committed, again when the broker did not take it, and in order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.event_services import WordAdded

from bus.database import outbox
from bus.database.engine import Database, PendingEvent
from bus.database.migrate import migrate
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome, Transport
from bus.testing.waiting import wait_until
from bus.worker.background.outbox_relay import OutboxRelay

SENT_SECONDS = 30.0
STOP_SECONDS = 30.0


class Broker:
    """Stands for a transport: takes what `outcome_of` says it takes, by its place among all that was sent."""

    def __init__(self, outcome_of: Callable[[int], PublishOutcome] = lambda _: PublishOutcome.CONFIRMED) -> None:
        self.sent: list[tuple[str, PublishOutcome]] = []
        self.is_ready = True
        self._outcome_of = outcome_of

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.sent]

    @property
    def taken(self) -> list[str]:
        return [word for word, outcome in self.sent if outcome is PublishOutcome.CONFIRMED]

    def wait_until_ready(self, seconds: float) -> bool:
        return self.is_ready

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None]) -> None:
        outcome = self._outcome_of(len(self.sent))
        self.sent.append((message.body.decode().rpartition('"word":"')[2][:-2], outcome))
        on_outcome(outcome)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/a.db")
    migrate(database, "catalog.migrations")
    yield database
    database.close()


@contextmanager
def _relaying(broker: Broker, database: Database) -> Iterator[OutboxRelay]:
    transport: Transport = broker  # type: ignore[assignment]  # the part of one that a relay uses
    relay = OutboxRelay("emitter", transport, database)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop(STOP_SECONDS)
        assert relay.failure is None


def _commit(database: Database, *words: str) -> None:
    with database.transaction() as transaction:
        outbox.write(transaction.connection, [PendingEvent(WordAdded(thing=1, version=1, word=word)) for word in words])


def _unsent(database: Database) -> int:
    with database.transaction() as transaction:
        return len(outbox.unsent(transaction.connection, 1000))


def test_what_is_committed_is_sent_once(database: Database) -> None:
    broker = Broker()
    with _relaying(broker, database) as relay:
        _commit(database, "one", "two")
        relay.wake()
        wait_until(lambda: _unsent(database) == 0, SENT_SECONDS, "all is marked as sent")
    assert broker.words == ["one", "two"]


def test_what_a_dead_worker_left_behind_is_sent_without_a_word(database: Database) -> None:
    broker = Broker()
    _commit(database, "left")
    with _relaying(broker, database):
        wait_until(lambda: broker.words == ["left"], SENT_SECONDS, "the event is sent")


def test_more_than_a_batch_is_sent_in_order(database: Database) -> None:
    broker, words = Broker(), [f"w{number}" for number in range(1200)]
    _commit(database, *words)
    with _relaying(broker, database):
        wait_until(lambda: len(broker.sent) >= len(words), SENT_SECONDS, "all is sent")
    assert broker.words == words


@pytest.mark.parametrize(
    "refused", [PublishOutcome.FULL, PublishOutcome.BLOCKED, PublishOutcome.DISCONNECTED, PublishOutcome.UNKNOWN]
)
def test_what_the_broker_did_not_take_is_sent_later_and_all_behind_it_too(
    database: Database, refused: PublishOutcome
) -> None:
    broker = Broker(lambda place: refused if place == 1 else PublishOutcome.CONFIRMED)
    _commit(database, "one", "two", "three")
    with _relaying(broker, database):
        wait_until(lambda: _unsent(database) == 0, SENT_SECONDS, "all is marked as sent")
    assert broker.words == ["one", "two", "three", "two", "three"]


def test_while_there_is_no_connection_nothing_is_sent_or_marked(database: Database) -> None:
    broker = Broker()
    broker.is_ready = False
    _commit(database, "one")
    with _relaying(broker, database) as relay:
        relay.wake()
        _commit(database, "two")
        assert (broker.sent, _unsent(database)) == ([], 2)
        broker.is_ready = True
        relay.wake()
        wait_until(lambda: broker.words == ["one", "two"], SENT_SECONDS, "both are sent")


def test_a_relay_that_is_stopped_sends_first_what_is_committed(database: Database) -> None:
    broker = Broker()
    with _relaying(broker, database):
        _commit(database, "last")
    assert broker.words == ["last"]
