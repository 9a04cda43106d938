"""Events that come back: who is to blame for it, the event or the time that its worker had to wait."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from support.event_services import WordAdded, make_listener, metadata, received_by

from bus.contract.codec import encode
from bus.database.engine import Database
from bus.database.tables import failed_attempt
from bus.messaging.call import EVENTS
from bus.messaging.message import Delivery, Message
from bus.messaging.topology import Limits
from bus.messaging.trace_context import begin
from bus.service.service import Service
from bus.worker.events import KILLER_DEATHS, EventConsumer
from bus.worker.failures import FailureRecord
from bus.worker.request_history import attempts_with
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import ConsumerThreads, DatabaseWaits


class Broker:
    """Stands for the transport and the dispatcher of a worker: notes what was acknowledged and set aside."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.dead: list[str] = []

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += [delivery.tag for delivery in deliveries]

    def dead_letter(self, _delivery: Delivery, _body: bytes, reason: str, *_: object) -> None:
        self.dead.append(reason)


def _consumer(database: Database, broker: Broker, service: Service) -> tuple[EventConsumer, ConsumerThreads]:
    part: Any = broker
    stopping = threading.Event()
    consumer = EventConsumer(
        service,
        database,
        part,
        part,
        MessageTelemetry("example"),
        FailureRecord("listener", database),
        Limits(retry_seconds=(0,)),
        stopping,
        DatabaseWaits("listener", database, stopping),
        on_events=lambda: None,
    )
    return consumer, ConsumerThreads("events", consumer.handle_batch)


@pytest.fixture
def received(database: Database) -> Database:
    """With the table of what a listener has received."""
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
    return database


@pytest.mark.parametrize(("was_held", "dead"), [(True, []), (False, ["worker-died"])])
def test_an_event_that_this_worker_has_held_is_not_what_workers_died_of(
    received: Database, was_held: bool, dead: list[str]
) -> None:
    """The broker counts it as a death when it takes back an event that waited too long for the database."""
    broker = Broker()
    consumer, threads = _consumer(received, broker, make_listener("listener"))
    if was_held:
        consumer.handle_batch([_delivery(session=1, deaths=0)], threads)
    consumer.handle_batch([_delivery(session=2, deaths=KILLER_DEATHS)], threads)
    assert broker.dead == dead
    assert broker.acknowledged[-1] == 2
    assert received_by(received) == (["listener"] if was_held else [])


def test_each_try_of_a_listener_that_fails_is_written_down(received: Database) -> None:
    def fail(_event: WordAdded) -> None:
        raise ValueError("as asked")

    broker = Broker()
    consumer, threads = _consumer(received, broker, make_listener("listener", after=fail))
    consumer.handle_batch([_delivery(session=1, deaths=0)], threads)
    assert broker.dead == ["fault"]
    with received.reading() as transaction:
        tries = attempts_with(transaction.connection, failed_attempt.c.message_id == "1")
    assert [(each.number, each.retry_seconds) for each in tries] == [(1, 0), (2, None)]
    assert {(each.operation, each.caller) for each in tries} == {("emitter.word_added", EVENTS)}


def _delivery(session: int, deaths: int) -> Delivery:
    body = encode(WordAdded(thing=1, version=1, word="a"))
    message = Message(queue="listener.events", type="emitter.word_added", body=body, message_id="1")
    return Delivery(message=message, tag=session, session=session, deaths=deaths, received_at=0.0, trace=begin())
