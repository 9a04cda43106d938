"""Events that come back: who is to blame for it, the event or the time that its worker had to wait."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from support.event_services import WordAdded, make_listener, metadata, received_by

from bus.contract.codec import encode
from bus.database.engine import Database
from bus.messaging.message import Delivery, Message
from bus.messaging.topology import DEFAULT_LIMITS
from bus.messaging.trace_context import begin
from bus.worker.events import KILLER_DEATHS, EventConsumer
from bus.worker.failures import FailureRecord
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


@pytest.mark.parametrize(("was_held", "dead"), [(True, []), (False, ["worker-died"])])
def test_an_event_that_this_worker_has_held_is_not_what_workers_died_of(
    database: Database, was_held: bool, dead: list[str]
) -> None:
    """The broker counts it as a death when it takes back an event that waited too long for the database."""
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
    service, broker, stopping = make_listener("listener"), Broker(), threading.Event()
    part: Any = broker
    waits = DatabaseWaits("listener", database, stopping)
    consumer = EventConsumer(
        service,
        database,
        part,
        part,
        MessageTelemetry("example"),
        FailureRecord("listener", database),
        DEFAULT_LIMITS,
        stopping,
        waits,
        on_events=lambda: None,
    )
    threads = ConsumerThreads("events", consumer.handle_batch)
    if was_held:
        consumer.handle_batch([_delivery(session=1, deaths=0)], threads)
    consumer.handle_batch([_delivery(session=2, deaths=KILLER_DEATHS)], threads)
    assert broker.dead == dead
    assert broker.acknowledged[-1] == 2
    assert received_by(database) == (["listener"] if was_held else [])


def _delivery(session: int, deaths: int) -> Delivery:
    body = encode(WordAdded(thing=1, version=1, word="a"))
    message = Message(queue="listener.events", type="emitter.word_added", body=body, message_id="1")
    return Delivery(message=message, tag=session, session=session, deaths=deaths, received_at=0.0, trace=begin())
