"""Replays: which messages are sent for dead letters, and what is marked."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from msgspec import structs
from support.dead_letters import LETTER_KEY, letters_in, store_dead_letters

from bus.client.client import Client
from bus.client.replay import Replay, ReplayStopped
from bus.contract.operator.dead_letters import DeadLetterFilter, TakeDeadLetters
from bus.contract.operator.operations import operator_operations
from bus.contract.problems import Invalid
from bus.database.actions import action_with
from bus.database.engine import Database
from bus.dead_letters.envelope import dead_letter
from bus.dead_letters.queries import grouped, newest
from bus.dead_letters.replay import message_of, progress_of, send_next
from bus.messaging import trace_context
from bus.messaging.connect import transport_for
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome
from bus.security.operators import Operator
from bus.worker.worker import Worker
from catalog.handlers import catalog

TOKEN = "the operator token"
ANN = Operator("ann@here", TOKEN)
LAMP = json.dumps({"name": "Lamp", "price": 1, "quantity": 1}).encode()
STOP_SECONDS = 10.0


def _store(database: Database, *requests: Message, reason: str = "fault") -> None:
    letters = [dead_letter(each, "catalog", each.body, key=LETTER_KEY, reason=reason, detail="") for each in requests]
    store_dead_letters(database, catalog, *letters)


def _requests(*message_ids: str) -> list[Message]:
    return [Message(queue="catalog.create_product", body=LAMP, message_id=each) for each in message_ids]


def test_the_sender_is_not_answered_twice_and_the_message_goes_on_in_its_trace(database: Database) -> None:
    before = structs.replace(trace_context.begin(), state="congo=1")
    request = Message(queue="catalog.create_product", body=LAMP, message_id="order-1", reply_to="replies-1")
    _store(database, structs.replace(request, headers=before.headers))
    with database.reading() as transaction:
        letter = newest(transaction.connection, "order-1")
    assert letter is not None
    message = message_of(letter, 1, None)
    assert (message.queue, message.message_id, message.reply_to) == ("catalog.create_product", "order-1", None)
    assert (message.persistent, message.headers["replay-of"]) == (True, letter.letter_id)
    assert message.headers.keys() == {"replay-of", "timestamp_in_ms", "traceparent", "tracestate"}
    again = trace_context.read(message.headers["traceparent"], message.headers["tracestate"])
    assert again is not None
    assert (again.trace_id, again.state) == (before.trace_id, "congo=1")
    assert again.span_id != before.span_id


@dataclass
class Broker:
    """Answers to what is sent, with these outcomes."""

    outcomes: Sequence[PublishOutcome]
    sent: list[str] = field(default_factory=list)

    def send(self, messages: Sequence[Message]) -> Sequence[PublishOutcome]:
        self.sent += [message.message_id or "" for message in messages]
        return self.outcomes[: len(messages)]


@pytest.fixture
def worker(database: Database, memory_url: str) -> Worker:
    return Worker(catalog, transport_for(memory_url, "catalog"), database, operator_token=TOKEN)


@pytest.fixture
def client(worker: Worker, memory_url: str):  # type: ignore[no-untyped-def]
    worker.start()
    with Client(memory_url) as client:
        yield client
    worker.stop(STOP_SECONDS)


def _take(client: Client, **fields: object) -> int:
    given = {"kind": "replay", "filter": DeadLetterFilter(), **fields}
    request = operator_operations("catalog")[TakeDeadLetters](**given)
    action: int = client.call(request, token=ANN).action
    return action


def test_only_what_the_broker_has_confirmed_is_marked(client: Client, database: Database) -> None:
    _store(database, *_requests("1", "2", "3"))
    action = _take(client)
    broker = Broker([PublishOutcome.CONFIRMED, PublishOutcome.FULL, PublishOutcome.FULL])
    found = send_next(database, action, 10, broker.send)
    assert (found.sent, found.left, found.is_full) == (1, 2, True)
    assert "has more requests waiting" in found.why_stopped
    assert [letter.state for letter in letters_in(database)] == ["replayed", "chosen", "chosen"]
    found = send_next(database, action, 1, broker.send)
    assert (found.sent, found.left, found.why_stopped, broker.sent) == (1, 1, "", ["1", "2", "3", "2"])
    broker.outcomes = [PublishOutcome.UNROUTABLE]
    assert "There is no queue catalog.create_product" in send_next(database, action, 1, broker.send).why_stopped
    assert [letter.state for letter in letters_in(database)] == ["replayed", "replayed", "chosen"]


def test_an_action_takes_what_was_seen_and_can_be_sent_again(client: Client, database: Database) -> None:
    cut = structs.replace(_requests("cut")[0], body=b"x" * 300_000)
    _store(database, *_requests("1"), cut, *_requests("2", "3", "later"))
    seen = letters_in(database)[3].id
    request = operator_operations("catalog")[TakeDeadLetters](
        kind="replay", filter=DeadLetterFilter(up_to=seen), limit=2, reason="mended"
    )
    taken = client.call(request, token=ANN)
    assert (taken.letters, taken.skipped) == (2, 1)
    assert [letter.state for letter in letters_in(database)] == ["chosen", "dead", "chosen", "dead", "dead"]


def test_what_was_sent_is_replayed_even_if_it_was_discarded_meanwhile(client: Client, database: Database) -> None:
    _store(database, *_requests("1", "2"))
    action = _take(client)

    def send(messages: Sequence[Message]) -> Sequence[PublishOutcome]:
        _take(client, kind="discard", filter=DeadLetterFilter(state="chosen"))
        return [PublishOutcome.CONFIRMED for _ in messages]

    send_next(database, action, 1, send)
    assert [letter.state for letter in letters_in(database)] == ["replayed", "discarded"]


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("replay", "chosen"),
        ("edit", "chosen"),
        ("replay", "replayed"),
        ("replay", "discarded"),
        ("discard", "replayed"),
        ("discard", "discarded"),
    ],
)
def test_no_action_takes_letters_that_are_handled_or_belong_to_another(client: Client, kind: str, state: str) -> None:
    with pytest.raises(Invalid) as refused:
        _take(client, kind=kind, filter=DeadLetterFilter(state=state))  # type: ignore[arg-type]  # a state
    (fault,) = refused.value.problem.errors
    assert (fault.pointer, fault.code) == ("/filter/state", "wrong-state")
    assert f"A {kind} takes letters that are dead" in fault.detail


def test_a_replay_is_driven_in_batches_at_a_rate_and_can_be_stopped_and_resumed(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _store(database, *_requests(*(f"{number}" for number in range(25))))
    action = _take(client)
    replay = Replay(client, ANN, "catalog", action, rate=100)
    steps = replay.run()
    assert [next(steps) for _ in range(2)] == [(0, 25), (10, 15)]
    replay.stop()
    assert list(steps) == []
    assert [letter.state for letter in letters_in(database)] == ["replayed"] * 10 + ["chosen"] * 15
    *_, last = Replay(client, ANN, "catalog", action, rate=10_000).run()
    assert last == (15, 0)


def test_growing_batches_wait_for_those_before(client: Client, database: Database) -> None:
    _store(database, *_requests(*(f"{number}" for number in range(13))))
    action = _take(client)
    assert list(Replay(client, ANN, "catalog", action, rate=1000, growing=True).run()) == [
        (0, 13),
        (1, 12),
        (11, 2),
        (13, 0),
    ]


def test_growing_batches_stop_when_one_dies_again(client: Client, database: Database) -> None:
    wrong = structs.replace(_requests("wrong")[0], body=b'{"name":1}')
    _store(database, wrong, *_requests("1", "2"))
    action = _take(client)
    with pytest.raises(ReplayStopped, match="1 of the letters became a dead letter again"):
        list(Replay(client, ANN, "catalog", action, rate=1000, growing=True).run())
    assert [letter.state for letter in letters_in(database)] == ["replayed", "chosen", "chosen", "dead"]


def test_only_letters_that_died_since_have_died_again(client: Client, database: Database) -> None:
    letters = [dead_letter(each, "catalog", LAMP, key=LETTER_KEY, reason="fault", detail="") for each in _requests("1")]
    store_dead_letters(database, catalog, *letters)
    late = [dead_letter(each, "catalog", LAMP, key=LETTER_KEY, reason="late", detail="") for each in _requests("1")]
    time.sleep(0.01)  # it died before the replay, and was stored after it
    action = _take(client)
    store_dead_letters(database, catalog, *late)
    send_next(database, action, 1, Broker([PublishOutcome.CONFIRMED]).send)
    with database.reading() as transaction:
        assert progress_of(transaction.connection, action_with(transaction.connection, action)).died_again == 0
    _store(database, *_requests("1"))
    with database.reading() as transaction:
        assert progress_of(transaction.connection, action_with(transaction.connection, action)).died_again == 1


def test_the_latest_groups_are_kept_and_the_latest_comes_last(database: Database) -> None:
    for reason in ("first", "second", "third"):
        _store(database, *_requests("1"), reason=reason)
    with database.reading() as transaction:
        found = grouped(transaction.connection, DeadLetterFilter(), 2)
    assert [group.reason for group in found] == ["second", "third"]
