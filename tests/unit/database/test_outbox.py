"""The outbox: written with the change, read in order, with a lease for the relay. On both databases."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import Connection
from support.event_services import WordAdded

from bus.contract.identity import ANONYMOUS
from bus.database import leases, outbox
from bus.database.engine import Database, Outgoing
from bus.messaging.call import Call
from bus.messaging.topology import EVENTS_EXCHANGE
from bus.messaging.trace_context import begin, continued
from bus.service.work import Work
from bus.testing.databases import migrated
from bus.worker.execution import Executor
from catalog.contract import CreateProduct
from catalog.handlers import catalog

MOST = 100


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Both kinds of database in turn."""
    of_kind = {
        "sqlite": lambda: f"sqlite:///{tmp_path}/a.db",
        "postgresql": lambda: request.getfixturevalue("database_url"),
    }
    database = migrated(of_kind[request.param](), "catalog.migrations")
    yield database
    database.close()


def _told(*words: str) -> list[Outgoing]:
    return [Outgoing(WordAdded(thing=1, version=version, word=word)) for version, word in enumerate(words, 1)]


def _write(database: Database, *words: str) -> None:
    with database.transaction() as transaction:
        outbox.write(transaction.connection, _told(*words))


def _words(connection: Connection, most: int = MOST) -> list[str]:
    return [bytes(row.body).decode().rpartition('"word":"')[2][:-2] for row in outbox.unsent(connection, most)]


def test_events_are_read_in_the_order_they_were_written(database: Database) -> None:
    _write(database, "one", "two")
    _write(database, "three")
    with database.transaction() as transaction:
        assert _words(transaction.connection) == ["one", "two", "three"]
        assert _words(transaction.connection, 2) == ["one", "two"]


def test_events_of_a_transaction_that_is_undone_are_not_there(database: Database) -> None:
    with database.transaction() as transaction:
        outbox.write(transaction.connection, _told("never"))
        transaction.connection.rollback()
    with database.transaction() as transaction:
        assert _words(transaction.connection) == []


def test_what_was_sent_is_not_read_again(database: Database) -> None:
    _write(database, "one", "two", "three")
    with database.transaction() as transaction:
        rows = outbox.unsent(transaction.connection, MOST)
        outbox.mark_sent(transaction.connection, [row.id for row in rows[:2]])
    with database.transaction() as transaction:
        assert _words(transaction.connection) == ["three"]


def test_an_event_is_published_under_its_name_with_an_id_of_its_own(database: Database) -> None:
    _write(database, "one", "two")
    with database.transaction() as transaction:
        one, two = (outbox.message_of(row) for row in outbox.unsent(transaction.connection, MOST))
    assert (one.exchange, one.queue, one.type) == (EVENTS_EXCHANGE, "emitter.word_added", "emitter.word_added")
    assert one.body == b'{"thing":1,"version":1,"word":"one"}'
    assert (one.persistent, one.content_type) == (True, "application/json")
    assert one.message_id
    assert one.message_id != two.message_id


def test_a_refused_event_is_read_apart_from_the_others(database: Database) -> None:
    _write(database, "one", "two", "three")
    with database.transaction() as transaction:
        outbox.mark_refused(transaction.connection, [row.id for row in outbox.unsent(transaction.connection, 2)])
    with database.transaction() as transaction:
        assert _words(transaction.connection) == ["three"]
        refused = outbox.unsent(transaction.connection, MOST, refused=True)
        outbox.mark_sent(transaction.connection, [row.id for row in refused])
    with database.reading() as transaction:
        assert len(refused) == 2
        assert outbox.has_unsent(transaction.connection)
        assert not outbox.has_unsent(transaction.connection, refused=True)


def test_a_lease_has_one_holder_until_it_ends(database: Database) -> None:
    def claim(holder: str, seconds: float = 100.0) -> bool:
        with database.transaction() as transaction:
            return leases.claim(transaction.connection, "outbox", holder, seconds)

    assert [claim("a"), claim("b"), claim("a")] == [True, False, True]
    with database.transaction() as transaction:
        leases.release(transaction.connection, "outbox", "b")
    assert not claim("b"), "only its holder gives it back"
    with database.transaction() as transaction:
        leases.release(transaction.connection, "outbox", "a")
    assert [claim("b", -1.0), claim("a")] == [True, True], "it has ended"


def test_of_commands_that_were_done_together_each_event_keeps_the_trace_of_its_own(database: Database) -> None:
    commands = [CreateProduct(name=f"Lamp {number}", price=Decimal(1), quantity=1) for number in range(3)]
    calls = [Call(CreateProduct, command, None, trace=begin()) for command in commands]
    emitted: list[None] = []
    Executor(catalog.handlers, database, on_events=lambda: emitted.append(None)).execute(calls)
    assert len(emitted) == 1, "one transaction for all"
    with database.transaction() as transaction:
        rows = outbox.unsent(transaction.connection, 10)
    told = [(msgspec.json.decode(row.body)["name"], row.traceparent) for row in rows]
    assert told == [(f"Lamp {number}", call.trace.traceparent) for number, call in enumerate(calls) if call.trace]


def test_of_many_commands_an_event_without_one_begins_a_trace(database: Database) -> None:
    calls = [Call(CreateProduct, CreateProduct(name="a", price=Decimal(1), quantity=1), None, trace=begin())] * 2
    with database.transaction() as transaction:
        work = Work(transaction, ANONYMOUS, "emitter", calls)
        work.emit(WordAdded(thing=1, version=1, word="whose?"))
        assert [each.trace for each in transaction.outgoing] == [None]
        Work(transaction, ANONYMOUS, "emitter", calls[:1]).emit(WordAdded(thing=1, version=2, word="known"))
        assert [each.trace for each in transaction.outgoing] == [None, calls[0].trace]


def test_an_event_goes_on_in_the_trace_that_it_came_of(database: Database) -> None:
    trace = structs.replace(begin(), state="congo=1")
    with database.transaction() as transaction:
        told = WordAdded(thing=1, version=1, word="traced")
        outbox.write(transaction.connection, [Outgoing(told, trace), Outgoing(told), Outgoing(told, begin())])
    with database.transaction() as transaction:
        rows = outbox.unsent(transaction.connection, MOST)
    traced, untraced, other = (continued(outbox.message_of(row).headers) for row in rows)
    assert (traced.trace_id, traced.state) == (trace.trace_id, "congo=1")
    assert len({traced.trace_id, untraced.trace_id, other.trace_id}) == 3
    again = outbox.message_of(rows[0]).headers["traceparent"]
    assert again != outbox.message_of(rows[0]).headers["traceparent"]
    assert trace.span_id not in str(again)
