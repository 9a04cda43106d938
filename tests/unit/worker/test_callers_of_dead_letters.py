"""A dead letter keeps the caller that was verified, whatever made it one: without it, it could never be replayed."""

from datetime import timedelta

import pytest
from support.dead_letters import DeadLetterReader
from support.example_service import KeepGuarded, Kept

from bus.client.client import Client
from bus.contract.identity import Caller
from bus.contract.problems import Unavailable
from bus.database.engine import Database
from bus.messaging.connect import transport_for
from bus.messaging.message import Message
from bus.messaging.publishing import publish_all
from bus.messaging.topology import Limits
from bus.messaging.transport import PublishOutcome
from bus.security.service_keys import LetterKey
from bus.security.vouching import caller_named, vouch
from bus.service.service import Service
from bus.service.work import Work
from bus.worker.worker import Worker
from catalog.contract import GetProduct

ANN = Caller(id="17", session="s1", scopes=frozenset(["words:write"]))
AT_ONCE = timedelta(microseconds=1) / timedelta(hours=1)
WAIT_SECONDS = 30.0


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"{", "malformed-json"), (b'{"word": 1}', "wrong-type"), (b'{"word": "a"}', "called-service-away")],
)
def test_it_keeps_its_caller(database: Database, memory_url: str, body: bytes, reason: str) -> None:
    service = Service("example")

    @service.handles(KeepGuarded, calls=[GetProduct])
    def keep(command: KeepGuarded, work: Work) -> Kept:
        raise Unavailable("no-worker", "No worker answers.")

    transport = transport_for(memory_url, "example")
    worker = Worker(
        service, transport, database, Limits(give_up_hours=AT_ONCE), connect=lambda: Client(memory_url, name="calls")
    )
    worker.start()
    try:
        assert transport.wait_until_ready(WAIT_SECONDS)
        message = Message(queue="example.keep_guarded", body=body, message_id="1", persistent=True)
        message = vouch(message, ANN, LetterKey(database).read())
        assert publish_all(transport, [message], WAIT_SECONDS) == [PublishOutcome.CONFIRMED]
        letter = DeadLetterReader(database).next()
    finally:
        worker.stop(WAIT_SECONDS)
    assert (letter.reason, caller_named(letter.properties.caller)) == (reason, ANN)
