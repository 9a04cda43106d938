"""The quarantine: a copy is not carried out before its original has been acknowledged."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import pytest

from bus.database.engine import Database
from bus.messaging.message import Delivery, Message
from bus.messaging.redelivery import alone
from bus.messaging.topology import Limits, quarantine_queue
from bus.messaging.transport import PublishOutcome, Transport
from bus.security.service_keys import LetterKey
from bus.worker.dispatcher import Dispatcher
from bus.worker.quarantine import Quarantine
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import ConsumerThreads
from catalog.handlers import catalog

QUEUE = "catalog.create_product"
WAIT_SECONDS = 30.0
# How long a thing must not happen.
SILENCE_SECONDS = 0.2


class Broker:
    """Stands for a transport: keeps what it is to confirm, and tells what becomes of messages."""

    def __init__(self, told: "SimpleQueue[str]") -> None:
        self.unconfirmed: SimpleQueue[Callable[[PublishOutcome], None]] = SimpleQueue()
        self._told = told

    def publish(self, _message: Message, on_outcome: Callable[[PublishOutcome], None]) -> None:
        self.unconfirmed.put(on_outcome)

    def acknowledge(self, _deliveries: Sequence[Delivery]) -> None:
        self._told.put("acknowledged")


def test_a_copy_that_comes_before_its_confirm_waits_until_the_original_is_acknowledged(database: Database) -> None:
    told: SimpleQueue[str] = SimpleQueue()
    broker = Broker(told)
    transport: Transport = broker  # type: ignore[assignment]  # the part of one that is used
    telemetry = MessageTelemetry("example")
    dispatcher = Dispatcher("catalog", transport, Limits(), threading.Event(), telemetry, LetterKey(database))
    handlers = {QUEUE: lambda _batch, _threads: told.put("carried out")}
    quarantine = Quarantine(handlers, catalog.operations, transport, dispatcher, telemetry)
    threads = ConsumerThreads("quarantine", quarantine.handle_batch)
    suspect = Message(queue=QUEUE, body=b"{}", message_id="killer")

    moving = threading.Thread(target=dispatcher.quarantine, args=([_delivery(suspect)],), daemon=True)
    moving.start()
    confirm = broker.unconfirmed.get(timeout=WAIT_SECONDS)
    copy = _delivery(alone(suspect, quarantine_queue("catalog")))
    trying = threading.Thread(target=quarantine.handle_batch, args=([copy], threads), daemon=True)
    trying.start()
    with pytest.raises(Empty):
        told.get(timeout=SILENCE_SECONDS)
    confirm(PublishOutcome.CONFIRMED)
    assert [told.get(timeout=WAIT_SECONDS) for _ in range(2)] == ["acknowledged", "carried out"]
    for thread in (moving, trying):
        thread.join(WAIT_SECONDS)


def _delivery(message: Message) -> Delivery:
    return Delivery(message=message, tag=1, session=1, deaths=2, received_at=0.0)
