"""Events on a real broker: told once when committed, heard once and in order, whoever fails or dies meanwhile."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from support.dead_letters import wait_for_letters
from support.event_services import (
    AddWord,
    WordAdded,
    WordRefused,
    create_tables,
    make_emitter,
    make_listener,
    received_by,
    words_received,
)
from support.long_timeouts import use_long_timeouts

from bus.client.client import Client
from bus.contract.codec import encode
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.dead_letters.queries import newest
from bus.messaging.connect import transport_for
from bus.messaging.topology import EVENTS_EXCHANGE, Limits, events_queue
from bus.service.service import Service
from bus.testing.waiting import wait_until
from bus.worker.events import KILLER_DEATHS
from bus.worker.worker import Worker

START_SECONDS = 60.0
WAIT_SECONDS = 60.0
STOP_SECONDS = 10.0
LIMITS = Limits(retry_seconds=(1,))
QUEUE = events_queue("listener", ["emitter.word_added"], LIMITS)


class System:
    """An emitter and its client, listeners as a test starts them, and a channel for the queues."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self._url, self._stack = url, stack
        self.emitter, self.listener = (_database(folder, name, stack) for name in ("emitter", "listener"))
        connection = stack.enter_context(pika.BlockingConnection(pika.URLParameters(url)))
        self.channel: BlockingChannel = connection.channel()
        self.client: Client = stack.enter_context(Client(url))

    def start(self, service: Service) -> Worker:
        """Run a worker until the end of the test, or until it is stopped."""
        transport = transport_for(self._url, service.name)
        database = self.listener if service.name == "listener" else self.emitter
        worker = Worker(service, transport, database, LIMITS)
        worker.start()
        self._stack.callback(worker.stop, STOP_SECONDS)
        assert transport.wait_until_ready(START_SECONDS)
        return worker

    def add(self, *words: str) -> None:
        for version, word in enumerate(words, 1):
            self.client.call(AddWord(thing=1, version=version, word=word))

    def put(self, *words: str) -> None:
        """Publish events as an outbox relay does, without an emitter."""
        for version, word in enumerate(words, 1):
            properties = pika.BasicProperties(message_id=word, type="emitter.word_added", delivery_mode=2)
            body = encode(WordAdded(thing=1, version=version, word=word))
            self.channel.basic_publish(EVENTS_EXCHANGE, "emitter.word_added", body, properties)

    def die_with(self, count: int) -> None:
        """Die as a worker would that holds `count` unacknowledged events."""
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        channel.basic_qos(prefetch_count=count)
        events = channel.consume(QUEUE.name, inactivity_timeout=WAIT_SECONDS)
        for _ in range(count):
            assert next(events)[0] is not None
        connection._impl._transport._sock.shutdown(socket.SHUT_RDWR)  # no word of farewell

    def has_received(self, *words: str) -> bool:
        return words_received(self.listener) == list(words)

    def wait_for(self, *words: str) -> None:
        try:
            wait_until(lambda: len(words_received(self.listener)) >= len(words), WAIT_SECONDS, "the words are received")
        finally:
            assert words_received(self.listener) == list(words)

    def dead_letters(self, count: int) -> list[bytes]:
        """The bodies of the listener's dead letters, as soon as there are `count`."""
        letters = wait_for_letters(self.listener, count)
        with self.listener.reading() as transaction:
            found = [newest(transaction.connection, str(letter.id)) for letter in letters]
        return [letter.body for letter in found if letter is not None]


def _database(folder: Path, name: str, stack: ExitStack) -> Database:
    database = Database(f"sqlite:///{folder}/{name}.db")
    migrate(database, "catalog.migrations")
    create_tables(database)
    stack.callback(database.close)
    return database


@pytest.fixture
def system(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    use_long_timeouts(monkeypatch)
    with ExitStack() as stack:
        yield System(broker_url, tmp_path, stack)


def test_what_is_told_is_heard_once_and_in_order(system: System) -> None:
    system.start(make_listener())
    system.start(make_emitter())
    words = [f"word {number}" for number in range(50)]
    system.add(*words)
    system.wait_for(*words)


def test_what_a_refused_or_broken_command_would_have_told_is_never_heard(system: System) -> None:
    system.start(make_listener())
    system.start(make_emitter())
    with pytest.raises(WordRefused):
        system.add("refuse")
    system.client.send(AddWord(thing=1, version=1, word="break"), message_id="broken")
    wait_for_letters(system.emitter, 1)  # after all its tries
    system.add("after")
    system.wait_for("after")


def test_a_command_sent_twice_tells_once(system: System) -> None:
    system.start(make_listener())
    system.start(make_emitter())
    for _ in range(3):
        system.client.call(AddWord(thing=1, version=1, word="once"), message_id="once")
    system.add("after")
    system.wait_for("once", "after")


def test_an_event_that_comes_twice_is_heard_once(system: System) -> None:
    system.start(make_listener())
    system.put("once", "twice")
    system.put("once", "twice", "after")
    system.wait_for("once", "twice", "after")


def test_a_listener_that_fails_for_a_while_holds_up_the_later_events(system: System) -> None:
    attempts: list[str] = []

    def fail_at_first(event: WordAdded) -> None:
        attempts.append(event.word)
        if event.word == "hard" and attempts.count("hard") <= 4:
            raise ValueError("not yet")

    system.start(make_listener(after=fail_at_first))
    system.put("easy", "hard", "later")
    system.wait_for("easy", "hard", "later")
    assert attempts.count("hard") == 5
    assert system.dead_letters(0) == []


def test_a_listener_that_always_fails_with_an_event_has_a_dead_letter_and_hears_the_later_ones(system: System) -> None:
    def fail(event: WordAdded) -> None:
        if event.word == "bad":
            raise ValueError("never")

    system.start(make_listener(after=fail))
    system.put("good", "bad", "later")
    system.wait_for("good", "later")
    assert system.dead_letters(1) == [encode(WordAdded(thing=1, version=2, word="bad"))]


def test_an_event_that_cannot_be_read_is_a_dead_letter_and_holds_nothing_up(system: System) -> None:
    system.start(make_listener())
    properties = pika.BasicProperties(message_id="bad", type="emitter.word_added")
    system.channel.basic_publish(EVENTS_EXCHANGE, "emitter.word_added", b'{"thing": "one"}', properties)
    system.put("later")
    system.wait_for("later")
    assert system.dead_letters(1) == [b'{"thing": "one"}']


def test_what_is_told_while_no_listener_runs_is_heard_later(system: System) -> None:
    system.start(make_listener()).stop(STOP_SECONDS)
    system.start(make_emitter())
    system.add("one", "two")
    assert system.has_received()
    system.start(make_listener())
    system.wait_for("one", "two")


def test_of_two_workers_one_hears_and_the_other_takes_over_in_order(system: System) -> None:
    half_way = threading.Event()

    def tell_half_way(event: WordAdded) -> None:
        if event.version == 50:
            half_way.set()

    first = system.start(make_listener("first", tell_half_way))
    system.start(make_listener("second"))
    words = [f"word-{number}" for number in range(500)]
    system.put(*words[:50])
    assert half_way.wait(WAIT_SECONDS)
    system.put(*words[50:])
    first.stop(STOP_SECONDS)
    system.wait_for(*words)
    names = received_by(system.listener)
    assert names[:50] == ["first"] * 50
    assert names == sorted(names)


@pytest.mark.parametrize("in_hand", [1, 2, 4])
def test_events_that_were_in_hand_when_workers_died_keep_their_place(system: System, in_hand: int) -> None:
    system.start(make_listener()).stop(STOP_SECONDS)
    system.put("one", "two", "three", "four")
    for _ in range(3):
        system.die_with(in_hand)
    system.start(make_listener())
    system.wait_for("one", "two", "three", "four")
    assert system.dead_letters(0) == []


def test_only_the_event_that_workers_die_of_is_a_dead_letter(system: System) -> None:
    system.start(make_listener()).stop(STOP_SECONDS)
    system.put("killer", "two", "three")
    for _ in range(KILLER_DEATHS):
        system.die_with(3)
    system.start(make_listener())
    system.wait_for("two", "three")
    assert system.dead_letters(1) == [encode(WordAdded(thing=1, version=1, word="killer"))]
