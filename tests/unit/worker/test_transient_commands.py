"""Transient commands: carried out now or not at all, at most once for each message, and their replies kept nowhere."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs
from support.example_service import Grant, Granted, Keep, make_service, words_in

from bus.contract.identity import JsonWebKeySet
from bus.database.engine import Database
from bus.database.tables import failed_attempt, inbox
from bus.database.trouble import DatabaseBusy, DatabaseUnavailable
from bus.messaging.call import Call
from bus.messaging.message import Delivery, Message
from bus.messaging.topology import Limits
from bus.messaging.transport import PublishOutcome, Transport
from bus.security.guard import Guard
from bus.security.service_keys import LetterKey
from bus.security.token_keys import TokenKeys
from bus.security.unsealer import Unsealer
from bus.service.handler import Handler
from bus.service.nested_calls import NestedCalls
from bus.service.service import Service
from bus.service.work import Work
from bus.worker.admission import Admission
from bus.worker.dispatcher import Dispatcher
from bus.worker.execution import Executor
from bus.worker.failures import FailureRecord
from bus.worker.handler_runs import HandlerFailed
from bus.worker.request_history import attempts_with
from bus.worker.requests import RequestConsumer
from bus.worker.telemetry import MessageTelemetry
from bus.worker.threads import ConsumerThreads, DatabaseWaits

LATE_MS = 1


class Broker:
    """Stands for a transport: confirms everything, and keeps what was published and acknowledged."""

    def __init__(self) -> None:
        self.published: list[Message] = []
        self.acknowledged: list[Delivery] = []

    def publish(self, message: Message, on_outcome: Callable[[PublishOutcome], None] = lambda _: None) -> None:
        self.published.append(message)
        on_outcome(PublishOutcome.CONFIRMED)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += deliveries


class Consumer:
    """The requests of one service, handled in the test's thread."""

    def __init__(self, database: Database, service: Service) -> None:
        self.broker = Broker()
        transport: Transport = self.broker  # type: ignore[assignment]  # the part of one that is used
        telemetry, stopping = MessageTelemetry("example"), threading.Event()
        dispatcher = Dispatcher("example", transport, Limits(), stopping, telemetry, LetterKey(database))
        unsealer, letter_key = Unsealer(dict), LetterKey(database)
        guard = Guard(unsealer, TokenKeys(lambda: JsonWebKeySet(keys=[])), letter_key, pytest.fail, ())
        self._consumer = RequestConsumer(
            service.handlers,
            database,
            DatabaseWaits("example", database, stopping),
            transport,
            Admission(service.operations, unsealer, dispatcher, telemetry, guard),
            dispatcher,
            telemetry,
            FailureRecord("example", database),
            nested=NestedCalls(None, guard.token_of, "shelf", ""),
            give_up=timedelta(hours=1),
            on_events=lambda: None,
        )
        self._threads = ConsumerThreads("example", self._consumer.handle_batch)

    def handle(self, *deliveries: Delivery) -> list[tuple[int, str]]:
        """The status of each reply with the code of its problem, and nothing else may be published."""
        self._consumer.handle_batch(deliveries, self._threads)
        assert self.broker.acknowledged == list(deliveries)
        assert {message.queue for message in self.broker.published} <= {"reply"}
        found = [(message.headers["status"], json.loads(message.body)) for message in self.broker.published]
        return [(status, body.get("code", "")) for status, body in found if isinstance(status, int)]


def _delivery(
    word: str, *, operation: type[Grant | Keep] = Grant, deaths: int = 0, expiration_ms: int = 60_000
) -> Delivery:
    message = Message(
        queue=operation.operation_name,
        body=json.dumps({"word": word}).encode(),
        message_id="the-same",
        reply_to="reply",
        expiration_ms=expiration_ms,
    )
    return Delivery(message=message, tag=1, session=1, deaths=deaths, received_at=time.monotonic() - 1)


def _rows(database: Database) -> int:
    with database.reading() as transaction:
        return transaction.connection.execute(select(func.count()).select_from(inbox)).scalar_one()


@pytest.mark.parametrize("threads", [0, 2])
def test_each_message_is_done_whatever_its_id_and_no_reply_is_kept(database: Database, threads: int) -> None:
    consumer = Consumer(database, make_service(threads=threads))
    assert consumer.handle(_delivery("one"), _delivery("two")) == [(201, ""), (201, "")]
    assert words_in(database) == ["one", "two"]
    assert [json.loads(message.body)["token"] for message in consumer.broker.published] == ["token-1", "token-2"]
    assert _rows(database) == 0


@pytest.mark.parametrize("threads", [0, 2])
def test_one_that_is_refused_or_fails_leaves_nothing_and_is_neither_retried_nor_kept(
    database: Database, threads: int
) -> None:
    consumer = Consumer(database, make_service(threads=threads))
    with capture_logs() as logs:
        replies = consumer.handle(_delivery("refuse"), _delivery("break"), _delivery("fine"))
    assert replies == [(409, "example.word_refused"), (500, "internal-error"), (201, "")]
    assert words_in(database) == ["fine"]
    outcomes = [(line["event"], line["status"]) for line in logs if line.get("operation") and "status" in line]
    assert outcomes == [("answered", 409), ("answered", 500), ("answered", 201)]
    with database.reading() as transaction:
        (failed,) = attempts_with(transaction.connection, failed_attempt.c.id > 0)
    assert (failed.operation, failed.message_id, failed.caller) == ("example.grant", "the-same", "anonymous")
    assert (failed.number, failed.error_class, failed.retry_seconds) == (1, "Broken", None)


def test_one_whose_caller_has_stopped_waiting_is_dropped(database: Database) -> None:
    assert Consumer(database, make_service()).handle(_delivery("late", expiration_ms=LATE_MS)) == []
    assert words_in(database) == []


def test_a_failure_is_not_tried_again_once_the_caller_has_stopped_waiting(database: Database) -> None:
    tries: list[str] = []

    def grant(command: Grant, _work: Work) -> Granted:
        tries.append(command.word)
        raise RuntimeError

    handlers = {"example.grant": Handler("example", Grant, grant)}
    (reply,) = Executor(handlers, database).execute([Call(Grant, Grant(word="x"), None, until=time.monotonic())])
    assert isinstance(reply, HandlerFailed)
    # Once as the batch it was taken with, and once alone.
    assert tries == ["x", "x"]


def test_one_that_comes_again_is_not_done_again(database: Database) -> None:
    again = _delivery("twice", deaths=1)
    assert Consumer(database, make_service()).handle(again) == [(503, "outcome-unknown")]
    assert words_in(database) == []


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (DatabaseUnavailable("as asked"), "database-away"),
        (DatabaseBusy("as asked", "Another transaction holds it."), "database-busy"),
    ],
)
def test_what_the_database_cannot_do_now_is_refused_at_once(
    database: Database, trouble: DatabaseUnavailable, code: str
) -> None:
    service = Service("example")

    @service.handles(Grant)
    def grant(command: Grant, work: Work) -> Granted:
        raise trouble

    assert Consumer(database, service).handle(_delivery("away")) == [(503, code)]
    assert _rows(database) == 0


def test_commands_beside_them_keep_their_rows(database: Database) -> None:
    consumer = Consumer(database, make_service())
    assert consumer.handle(_delivery("grant"), _delivery("keep", operation=Keep)) == [(201, ""), (201, "")]
    assert _rows(database) == 1
