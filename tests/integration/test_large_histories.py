"""One request, or some dead letters, among a hundred thousand: none of the questions about them reads a whole table.

PostgreSQL knows what is in a table only some time after it was filled, so it is asked with statistics and without.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text
from support.dead_letters import LETTER_KEY, store_dead_letters
from support.plans import instructions_of, rows_read_of, statements_of_this_block

from bus.contract.operator.dead_letters import DeadLetterFilter
from bus.contract.operator.requests import MAX_KNOWN, GetRequest, KnownOfRequest
from bus.database.engine import Database
from bus.dead_letters.envelope import dead_letter
from bus.dead_letters.queries import counted, each, newest
from bus.messaging.call import EVENTS, origin_of
from bus.messaging.message import Message
from bus.testing.databases import migrated
from bus.testing.waiting import wait_until
from bus.worker.request_history import MAX_SEARCHED, attempts_of, known_of
from catalog.handlers import catalog

COUNT, ONE = 100_000, 4711
# The first dead letters and failed tries are of one message.
MANY, OF_MANY = 500, "poison"
PAGE = 50
WAIT_SECONDS = 90.0
# Rows of one statement: it is given up after half a minute, and the machine may be busy.
AT_ONCE = 10_000
# The newest events are searched. SQLite executes at least four instructions for each row that it reads.
MOST_ROWS, MOST_INSTRUCTIONS = MAX_SEARCHED + COUNT // 10, 3 * COUNT
OPERATION, EVENT = "catalog.create_product", "catalog.product_changed"

WITHOUT_STATISTICS = ("dead_letters", "failed_attempts", "dead_letter_actions")

_NUMBERS = {
    "postgresql": "SELECT n FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS g(n)",
    "sqlite": "WITH RECURSIVE g(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM g WHERE n < :last) SELECT n FROM g",
}
_DIGITS = {"postgresql": "lpad(to_hex(n), 16, '0')", "sqlite": "printf('%016x', n)"}
# A command a second, each with its event, which a listener of the same database has handled, and a try that failed.
_MOMENT = {
    "postgresql": "TIMESTAMPTZ '2026-01-01' + n * INTERVAL '1 second'",
    "sqlite": "datetime('2026-01-01', '+' || n || ' seconds')",
}
_ROWS = (
    "INSERT INTO inbox (message_id, caller, operation, digest, status, location, reply, done_at) "
    "SELECT 'order-' || n, 'anonymous', '{operation}', {bytes}, 201, '', {bytes}, {moment} FROM ({numbers}) AS all_n",
    "INSERT INTO inbox (message_id, caller, operation, digest, status, location, reply, done_at) "
    "SELECT {digits} || {digits}, '{events}', '{event}', {bytes}, 204, '', {bytes}, {moment} FROM ({numbers}) AS all_n",
    "INSERT INTO outbox (event_id, name, body, made_at, sent_at, traceparent) "
    "SELECT {digits} || {digits}, '{event}', {bytes}, {moment}, {moment}, '00-' || {digits} || {digits} || '-1-01' "
    "FROM ({numbers}) AS all_n",
    "INSERT INTO failed_attempts (message_id, caller, operation, number, failed_at, worker, error_class, detail, "
    "traceback, trace_id) SELECT 'order-' || n, 'anonymous', '{operation}', 1, {moment}, '', '', '', '', "
    "{digits} || {digits} FROM ({numbers}) AS all_n",
    "INSERT INTO dead_letters (letter_id, operation, message_id, properties, body, whole, origin_queue, reason, "
    "detail, error_class, traceback, attempts, first_at, last_at, state, trace_id) "
    "SELECT {digits}, '{operation}', 'letter-' || n, {bytes}, {bytes}, 1 = 1, '{operation}', 'fault', '', '', '', 1, "
    "{moment}, {moment}, 'dead', {digits} || {digits} FROM ({numbers}) AS all_n",
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A hundred thousand rows in each table, of both kinds of database in turn."""
    is_sqlite = request.param == "sqlite"
    folder = tmp_path_factory.mktemp("large")
    made = migrated(
        f"sqlite:///{folder}/x.db" if is_sqlite else request.getfixturevalue("postgres").fresh_database(),
        "catalog.migrations",
    )
    kind = made.kind
    words = {
        "operation": OPERATION,
        "event": EVENT,
        "events": EVENTS,
        "bytes": "x'7b7d'" if is_sqlite else "'{}'::bytea",
    }
    words |= {"numbers": _NUMBERS[kind], "digits": _DIGITS[kind], "moment": _MOMENT[kind]}
    with made.transaction() as transaction:
        if not is_sqlite:  # a vacuum would make the summaries, too, but comes seldom to a large table
            for table in ("inbox", "outbox", *WITHOUT_STATISTICS):
                transaction.connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
        for rows in _ROWS:
            statement = text(rows.format(**words).replace("::bytea", "\\:\\:bytea"))
            for first in range(1, COUNT, AT_ONCE):
                transaction.connection.execute(statement, {"first": first, "last": first + AT_ONCE - 1})
        _link(transaction.connection)
        for table in ("inbox", "outbox"):
            transaction.connection.execute(text(f"ANALYZE {table}"))
    if not is_sqlite:
        _wait_for_summaries(made)
    letter = Message(queue=OPERATION, body=b"{}", message_id=f"order-{ONE}")
    store_dead_letters(made, catalog, dead_letter(letter, "catalog", b"{}", key=LETTER_KEY, reason="fault", detail="d"))
    yield made
    made.close()


def _wait_for_summaries(database: Database) -> None:
    """Those of the new rows, which a server in use makes within a minute."""
    with database.without_limits() as connection:

        def are_made() -> bool:
            statements = (
                "SELECT 1 FROM inbox WHERE done_at = '2026-01-01'",
                "SELECT 1 FROM outbox WHERE made_at = '2026-01-01'",
            )
            return all(rows_read_of(connection, each, ()) <= MOST_ROWS for each in statements)

        def look_every(pause: str) -> None:
            connection.exec_driver_sql(f"ALTER SYSTEM SET autovacuum_naptime = '{pause}'")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

        before = connection.exec_driver_sql("SHOW autovacuum_naptime").scalar_one()
        look_every("1s")
        try:
            wait_until(are_made, WAIT_SECONDS, "the rows are summarized")
        finally:
            look_every(before)


def _link(connection: Any) -> None:
    """Give the event of one command the id that such an event has."""
    origin = origin_of("anonymous", OPERATION, f"order-{ONE}")
    before = f"{ONE:016x}"
    for table, column in (("outbox", "event_id"), ("inbox", "message_id")):
        values = {"new": origin + before, "old": before + before}
        connection.execute(text(f"UPDATE {table} SET {column} = :new WHERE {column} = :old"), values)
    for table in ("dead_letters", "failed_attempts"):
        of_many = text(f"UPDATE {table} SET message_id = :message_id WHERE id <= :count")
        connection.execute(of_many, {"message_id": OF_MANY, "count": MANY})
    connection.execute(text("UPDATE dead_letters SET action_id = 1 WHERE id <= 3"))
    connection.execute(
        text("UPDATE inbox SET status = 204, reply = :reply WHERE message_id = 'order-1'"), {"reply": b""}
    )


def _known(database: Database, which: str, by: Any = "id") -> KnownOfRequest:
    """The answer to a question none of whose statements reads a table."""
    with statements_of_this_block() as seen, database.reading() as transaction:
        known = known_of(transaction.connection, GetRequest(which=which, by=by))
    _check(database, seen)
    return known


def _check(database: Database, seen: list[tuple[str, Any]]) -> None:
    assert seen
    if database.kind == "postgresql":
        _check_rows(database, seen)
        return
    with database.reading() as transaction:
        for statement, parameters in seen:
            count = instructions_of(transaction.connection, statement, parameters)
            assert count <= MOST_INSTRUCTIONS, f"{count}: {statement}"


def _check_rows(database: Database, seen: list[tuple[str, Any]]) -> None:
    """Without statistics, and with those that are there until the transaction is rolled back."""
    with database.transaction() as transaction:
        connection = transaction.connection
        _check_each(connection, seen, "without statistics")
        connection.execute(text("SET LOCAL default_statistics_target = 10"))  # takes less time
        connection.execute(text(f"ANALYZE {', '.join(WITHOUT_STATISTICS)}"))
        _check_each(connection, seen, "with statistics")
        connection.rollback()


def _check_each(connection: Any, seen: list[tuple[str, Any]], how: str) -> None:
    for statement, parameters in seen:
        count = rows_read_of(connection, statement, parameters)
        assert count <= MOST_ROWS, f"{count}, {how}: {statement}\n{parameters}"


def test_a_command_is_found_by_its_id_with_its_event_and_its_tries(database: Database) -> None:
    known = _known(database, f"order-{ONE}")
    assert [len(each) for each in (known.completions, known.attempts, known.letters, known.emissions)] == [1, 1, 1, 1]


def test_what_has_come_of_it_is_found_by_its_origin(database: Database) -> None:
    origin = origin_of("anonymous", OPERATION, f"order-{ONE}")
    assert [each.caller for each in _known(database, origin, "origin").completions] == [EVENTS]


def test_a_new_event_and_a_trace_are_found(database: Database) -> None:
    last = f"{COUNT:016x}" * 2
    known = _known(database, last)
    assert [each.message_id for each in known.emissions] == [last]
    assert [each.caller for each in known.completions] == [EVENTS]
    assert [len(known.attempts), len(known.letters)] == [1, 1]


def test_the_newest_of_many_tries_and_letters_of_one_message_are_found(database: Database) -> None:
    known = _known(database, OF_MANY)
    assert [len(known.attempts), len(known.letters)] == [MAX_KNOWN, MAX_KNOWN]
    assert known.letters[-1].id == MANY


def test_an_answer_without_a_body_is_found(database: Database) -> None:
    assert [each.reply for each in _known(database, "order-1").completions] == [""]


@pytest.mark.parametrize("which", ["letter-4711", "4711", OF_MANY, "nothing"])
def test_a_letter_is_found_by_what_names_it(database: Database, which: str) -> None:
    with statements_of_this_block() as seen, database.reading() as transaction:
        letter = newest(transaction.connection, which)
    assert (letter.id if letter else None) == {OF_MANY: MANY, "nothing": None}.get(which, ONE)
    _check(database, seen)


@pytest.mark.parametrize(
    ("chosen", "count"),
    [
        (DeadLetterFilter(which=OF_MANY), MANY),
        (DeadLetterFilter(which=OF_MANY, state="dead"), MANY),
        (DeadLetterFilter(action=1), 3),
        (DeadLetterFilter(ids=[1, ONE, COUNT]), 3),
        (DeadLetterFilter(operation="catalog.delete_product"), 0),
        (DeadLetterFilter(operation="catalog.delete_product", state="dead"), 0),
    ],
    ids=str,
)
def test_few_letters_are_listed_and_counted(database: Database, chosen: DeadLetterFilter, count: int) -> None:
    with statements_of_this_block() as seen, database.reading() as transaction:
        page = each(transaction.connection, chosen, PAGE, newest_first=True)
        assert counted(transaction.connection, chosen, catalog.operations)[0] == count
    assert len(page) == min(count, PAGE)
    assert [letter.id for letter in page] == sorted((letter.id for letter in page), reverse=True)
    _check(database, seen)


def test_the_tries_of_a_dead_letter_are_found(database: Database) -> None:
    with database.reading() as transaction:
        letter = newest(transaction.connection, f"order-{ONE}")
        assert letter is not None
        with statements_of_this_block() as seen:
            assert len(attempts_of(transaction.connection, letter)) == 1
    _check(database, seen)
