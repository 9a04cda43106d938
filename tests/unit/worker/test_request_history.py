"""What a service's database has of one request: found by its id, for all callers, by its trace, and by its events."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update
from support.dead_letters import LETTER_KEY, store_dead_letters
from support.event_services import AddWord, WordAdded, make_emitter, make_listener, metadata

from bus.contract.identity import Caller
from bus.contract.operator.requests import GetRequest, KnownOfRequest
from bus.database import outbox
from bus.database.clock import sql_now
from bus.database.engine import Database
from bus.database.tables import dead_letter, failed_attempt
from bus.dead_letters.envelope import dead_letter as buried
from bus.dead_letters.queries import newest
from bus.messaging.call import EVENTS, Call, origin_of
from bus.messaging.message import Message
from bus.messaging.trace_context import Trace, begin
from bus.testing.databases import migrated
from bus.worker.execution import Executor
from bus.worker.request_history import attempts_of, known_of
from catalog.handlers import catalog

NOTHING = KnownOfRequest(completions=[], attempts=[], letters=[], emissions=[])
ADA, BOB = Caller(id="1"), Caller(id="2")


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database of each kind; emitter and listener share it."""
    url = f"sqlite:///{tmp_path}/a.db" if request.param == "sqlite" else request.getfixturevalue("database_url")
    database = migrated(url, "catalog.migrations")
    with database.transaction() as transaction:
        metadata.create_all(transaction.connection)
    yield database
    database.close()


def _known(database: Database, which: str, by: Any = "id") -> KnownOfRequest:
    with database.reading() as transaction:
        return known_of(transaction.connection, GetRequest(which=which, by=by))


def _add(database: Database, *words: str, message_id: str = "order-1", caller: Caller = ADA) -> list[Trace]:
    """Carry out commands in one transaction; the first has the message id."""
    ids = [message_id, *(f"{message_id}-{number}" for number in range(1, len(words)))]
    calls = [
        Call(AddWord, AddWord(thing=1, version=1, word=word), each, caller, trace=begin())
        for word, each in zip(words, ids, strict=True)
    ]
    Executor(make_emitter().handlers, database).execute(calls)
    return [call.trace for call in calls if call.trace]


def _listen(database: Database, *message_ids: str) -> None:
    event = WordAdded(thing=1, version=1, word="a")
    calls = [Call(WordAdded, event, each, kind="event") for each in message_ids]
    Executor(make_listener().listeners, database).execute_in_order(calls)


def _fail(database: Database, message_id: str, caller: str, trace_id: str = "0" * 32, number: int = 1) -> None:
    row = {"operation": "emitter.add_word", "worker": "w", "error_class": "E", "detail": "d", "traceback": "t"}
    more = {"message_id": message_id, "caller": caller, "number": number, "trace_id": trace_id, "retry_seconds": 5}
    with database.transaction() as transaction:
        transaction.connection.execute(insert(failed_attempt).values(**row, **more, failed_at=sql_now()))


def test_one_id_is_found_for_every_caller_with_what_each_has_emitted(stored: Database) -> None:
    _add(stored, "one", "two", "three")
    _add(stored, "refuse", caller=BOB)
    known = _known(stored, "order-1")
    assert sorted((each.caller, each.status) for each in known.completions) == [("1", 200), ("2", 409)]
    assert [each.operation for each in known.completions] == ["emitter.add_word"] * 2
    assert "emitter.word_refused" in next(each.reply for each in known.completions if each.caller == "2")
    (emission,) = known.emissions  # neither that of its neighbours in the batch, nor that of the refused one
    assert emission.message_id.startswith(origin_of("1", "emitter.add_word", "order-1"))
    assert (emission.name, emission.sent_at) == ("emitter.word_added", None)
    assert _known(stored, "order") == _known(stored, "nothing") == NOTHING


def test_an_event_leads_to_its_request_and_to_its_listeners(stored: Database) -> None:
    _add(stored, "one", "two")
    (emission,) = _known(stored, "order-1-1").emissions
    origin = emission.message_id[:16]
    _listen(stored, emission.message_id, "another")
    by_event = _known(stored, emission.message_id)
    assert [(each.caller, each.operation) for each in by_event.completions] == [
        (EVENTS, "emitter.word_added"),
        ("1", "emitter.add_word"),
    ]
    assert by_event.completions[1].message_id == "order-1-1"
    assert by_event.emissions == [emission]
    taken = _known(stored, origin, "origin")
    assert [each.message_id for each in taken.completions] == [emission.message_id]
    for useless in ("order-1", "%", "f" * 16, origin.upper() + "x"):
        assert _known(stored, useless, "origin") == NOTHING


def test_a_trace_leads_to_what_has_failed_died_or_emitted(stored: Database) -> None:
    trace = _add(stored, "one", "two")[1]
    _fail(stored, "order-2", "1", trace.trace_id)
    request = Message(queue="catalog.create_product", body=b"{}", message_id="order-3", headers=trace.headers)
    store_dead_letters(stored, catalog, buried(request, "catalog", b"{}", key=LETTER_KEY, reason="fault", detail="d"))
    known = _known(stored, trace.trace_id)
    assert [each.message_id for each in known.completions] == ["order-1-1"]
    assert [each.message_id for each in known.attempts] == ["order-2"]
    assert [each.message_id for each in known.letters] == ["order-3"]
    assert [each.trace_id for each in known.emissions] == [trace.trace_id]


def test_a_dead_letter_has_its_tries_and_is_found_by_all_its_ids(stored: Database) -> None:
    letter = buried(
        Message(queue="catalog.create_product", body=b"{}", message_id="order-1"),
        *("catalog", b"{}"),
        key=LETTER_KEY,
        reason="fault",
        detail="Why.",
        caller=ADA,
    )
    store_dead_letters(stored, catalog, letter)
    for number, caller in enumerate(("1", "2", "1")):
        _fail(stored, "order-1", caller, number=number)
    with stored.reading() as transaction:
        whole = newest(transaction.connection, "order-1")
        assert whole is not None
        assert [each.number for each in attempts_of(transaction.connection, whole)] == [0, 2]
    with stored.transaction() as transaction:
        transaction.connection.execute(update(dead_letter).values(state="replayed", replayed_as=f"{whole.letter_id}-7"))
    for name in ("order-1", whole.letter_id, f"{whole.letter_id}-7"):
        (found,) = _known(stored, name).letters
        assert (found.message_id, found.caller, found.state) == ("order-1", "1", "replayed")
        assert found.replayed_as == f"{whole.letter_id}-7"


def test_what_was_sent_stays_found(stored: Database) -> None:
    _add(stored, "one")
    with stored.transaction() as transaction:
        (row,) = outbox.unsent(transaction.connection, 10)
        outbox.mark_sent(transaction.connection, [row.id])
    (emission,) = _known(stored, "order-1").emissions
    assert emission.sent_at is not None
