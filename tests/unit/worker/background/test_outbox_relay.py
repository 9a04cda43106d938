"""The relay: sends what is committed, again when the broker did not take it, and in order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.event_services import WordAdded

from bus.database import leases, outbox
from bus.database.engine import Database, Outgoing
from bus.database.tables import lease
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome, Transport
from bus.security.service_keys import LetterKey
from bus.testing.databases import migrated
from bus.testing.waiting import wait_until
from bus.worker.background import outbox_relay
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
    database = migrated(f"sqlite:///{tmp_path}/a.db", "catalog.migrations")
    yield database
    database.close()


@contextmanager
def _relaying(broker: Broker, database: Database) -> Iterator[OutboxRelay]:
    transport: Transport = broker  # type: ignore[assignment]  # the part of one that a relay uses
    relay = OutboxRelay("emitter", transport, database, LetterKey(database))
    relay.start()
    try:
        yield relay
    finally:
        relay.stop(STOP_SECONDS)
        assert relay.failure is None


def _commit(database: Database, *words: str) -> None:
    with database.transaction() as transaction:
        outbox.write(transaction.connection, [Outgoing(WordAdded(thing=1, version=1, word=word)) for word in words])


def _unsent(database: Database, *, refused: bool = False) -> int:
    with database.reading() as transaction:
        return len(outbox.unsent(transaction.connection, 1000, refused=refused))


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


@pytest.mark.parametrize("lost", [PublishOutcome.BLOCKED, PublishOutcome.DISCONNECTED, PublishOutcome.UNKNOWN])
def test_what_the_broker_did_not_take_is_sent_later_and_all_behind_it_too(
    database: Database, lost: PublishOutcome
) -> None:
    broker = Broker(lambda place: lost if place == 1 else PublishOutcome.CONFIRMED)
    _commit(database, "one", "two", "three")
    with _relaying(broker, database):
        wait_until(lambda: _unsent(database) == 0, SENT_SECONDS, "all is marked as sent")
    assert broker.words == ["one", "two", "three", "two", "three"]


def test_a_full_listener_neither_stops_nor_floods_the_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_relay, "MAX_EVENTS", 50)
    monkeypatch.setattr(outbox_relay, "REFUSED_SECONDS", 0.2)
    words, is_full = [f"w{number}" for number in range(200)], [True]
    broker = Broker(lambda _: PublishOutcome.FULL if is_full[0] else PublishOutcome.CONFIRMED)
    _commit(database, *words)
    with _relaying(broker, database) as relay:
        wait_until(lambda: {*broker.words} == {*words}, SENT_SECONDS, "each event was offered to the other listeners")
        wait_until(lambda: len(broker.sent) > len(words), SENT_SECONDS, "one is tried again")
        tries = broker.words[len(words) :]
        assert tries == ["w0"] * len(tries), "and no other"
        is_full[0] = False
        relay.wake()
        wait_until(lambda: _unsent(database, refused=True) == 0, SENT_SECONDS, "the listener has caught up")
    assert broker.taken == words


def test_two_relays_send_each_event_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_relay, "MAX_EVENTS", 20)
    broker, words = Broker(), [f"w{number}" for number in range(400)]
    with _relaying(broker, database) as first, _relaying(broker, database) as second:
        for place in range(0, len(words), 40):
            _commit(database, *words[place : place + 40])
            first.wake()
            second.wake()
        wait_until(lambda: _unsent(database) == 0, SENT_SECONDS, "all is marked as sent")
    assert broker.words == words


def test_the_lease_of_a_relay_that_stands_still_ends(database: Database) -> None:
    _commit(database, "one")
    with database.transaction() as transaction:
        assert leases.claim(transaction.connection, outbox_relay.LEASE, "frozen", 0.5)
    broker = Broker()
    with _relaying(broker, database):
        wait_until(lambda: broker.words == ["one"], SENT_SECONDS, "another has sent it")


def test_a_relay_that_lost_its_lease_marks_nothing(database: Database) -> None:
    """It stood still between sending and marking; another has gone on from there."""

    def freeze(place: int) -> PublishOutcome:
        if place == 0:
            with database.transaction() as transaction:
                transaction.connection.execute(lease.update().values(holder="another", held_until=0))
                assert leases.claim(transaction.connection, outbox_relay.LEASE, "another", 0.5)
            assert _unsent(database) == 1
        return PublishOutcome.CONFIRMED

    broker = Broker(freeze)
    _commit(database, "one")
    with _relaying(broker, database):
        wait_until(lambda: _unsent(database) == 0, SENT_SECONDS, "it is sent when the other's lease has ended")
    assert broker.words == ["one", "one"]


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
