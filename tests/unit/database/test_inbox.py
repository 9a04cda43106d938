"""The inbox: what was done, under which id, and how it was answered."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, select, text
from support.example_service import Keep, KeepSecret, call

from bus.contract.identity import Caller
from bus.contract.operations import Command, Reply
from bus.database.engine import Database
from bus.database.inbox import AlreadyDone, _stored_by_json, look_up_all, outcome_of, record
from bus.database.tables import inbox
from bus.messaging.call import Call
from bus.messaging.replies import EncodedReply
from bus.testing.databases import migrated

KEYS = {"keys": '[["a", "1"]]'}
ANSWER = EncodedReply(201, b'{"id":1}', "/words/1")


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with database.transaction() as transaction:
        yield transaction.connection


def test_what_was_recorded_is_found_again(connection: Connection) -> None:
    record(connection, [(call("a", "1"), ANSWER)])
    assert look_up_all(connection, [call("a", "1")])[0] == ANSWER
    assert outcome_of(connection, "anonymous", "1") == ANSWER


def test_what_was_not_recorded_is_not_found(connection: Connection) -> None:
    record(connection, [(call("a", "1"), ANSWER)])
    assert look_up_all(connection, [call("a", "2")])[0] is None
    assert look_up_all(connection, [call("a")])[0] is None
    assert look_up_all(connection, [Call(Keep, Keep(word="a"), "1", caller=Caller(id="ann"))])[0] is None
    assert outcome_of(connection, "ann", "1") is None


def test_another_request_under_the_same_id_is_refused(connection: Connection) -> None:
    record(connection, [(call("a", "1"), ANSWER)])
    answer = look_up_all(connection, [call("b", "1")])[0]
    assert answer is not None
    assert answer.status == 422
    assert b'"idempotency-key-reuse"' in answer.body
    assert b'"errors":[{"pointer":"/word",' in answer.body


def test_the_outcome_is_told_to_whoever_knows_the_id_not_the_body(connection: Connection) -> None:
    record(connection, [(call("a", "1"), EncodedReply(409, b"{}"))])
    assert outcome_of(connection, "anonymous", "1") == EncodedReply(409, b"{}")


def test_the_same_id_again_is_already_done(connection: Connection) -> None:
    record(connection, [(call("a", "1"), ANSWER)])
    with pytest.raises(AlreadyDone):
        record(connection, [(call("a", "1"), ANSWER)])


def test_the_same_id_twice_in_one_go_is_already_done(connection: Connection) -> None:
    with pytest.raises(AlreadyDone):
        record(connection, [(call("a", "1"), ANSWER), (call("b", "1"), ANSWER)])


class _Counted(Reply):
    version: int
    added_later: str

    version_path = "version"


class _Count(Command[_Counted], name="example.count"):
    """Count."""


@pytest.mark.parametrize(
    ("status", "stored", "version"),
    [(200, b'{"version":7,"added_later":"a"}', "7"), (200, b'{"version":7}', "7"), (200, b"{}", ""), (409, b"{}", "")],
)
def test_a_stored_reply_has_its_version_also_if_an_older_release_wrote_it(
    connection: Connection, status: int, stored: bytes, version: str
) -> None:
    counting = Call(_Count, _Count(), "1")
    record(connection, [(counting, EncodedReply(status, stored))])
    assert look_up_all(connection, [counting]) == [EncodedReply(status, stored, version=version)]


def test_calls_without_an_id_leave_nothing(connection: Connection) -> None:
    record(connection, [(call("a"), ANSWER), (call("a"), ANSWER)])
    record(connection, [])
    assert connection.execute(select(inbox)).all() == []


def test_no_secret_is_kept(connection: Connection) -> None:
    secret = Call(KeepSecret, KeepSecret(word="a", password="hunter22"), "1")
    record(connection, [(secret, ANSWER)])
    (row,) = connection.execute(select(inbox)).all()
    assert "hunter22" not in repr(row)
    other = Call(KeepSecret, KeepSecret(word="a", password="hunter11"), "1")
    assert other.digest == secret.digest  # not even a hash of it, which could be guessed at leisure


def test_many_ids_are_looked_up_by_the_key_and_not_by_reading_the_inbox(connection: Connection) -> None:
    explain = text(f"EXPLAIN QUERY PLAN {_stored_by_json['sqlite'].text}")
    steps = [row.detail for row in connection.execute(explain, KEYS).all() if "inbox" in row.detail]
    assert steps == ["SEARCH inbox USING INDEX sqlite_autoindex_inbox_1 (caller=? AND message_id=?)"]


def test_postgresql_looks_up_by_the_key_even_if_it_made_its_plan_for_an_empty_inbox(database_url: str) -> None:
    """A prepared statement keeps that plan while the inbox grows."""
    database = migrated(database_url, "catalog.migrations")
    with database.reading() as transaction:
        explain = text(f"EXPLAIN {_stored_by_json['postgresql'].text}")
        plan = "\n".join(transaction.connection.execute(explain, KEYS).scalars())
    database.close()
    assert "Index Scan using inbox_pkey on inbox" in plan
