"""Replays of events: which are sent, in which order, and where a replay goes on."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, select, update
from support.event_replays import replayed
from support.event_services import WordAdded

from bus.contract.codec import read_json
from bus.contract.events import Event
from bus.contract.operator.actions import ActionBusy, Sent, UnknownAction
from bus.contract.operator.events import EventFilter
from bus.database import event_replays, outbox
from bus.database.actions import action_with, record
from bus.database.engine import Database, Outgoing
from bus.database.event_replays import begin, counted, progress_of, send_next
from bus.database.migrate import migrate
from bus.database.past_events import PastEvent, PastEvents
from bus.database.tables import dead_letter_action, event_replay
from bus.database.tables import outbox as table
from bus.messaging.message import Message
from bus.messaging.transport import PublishOutcome

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ALL = EventFilter(since=NOON)
MINUTE = timedelta(minutes=1)


class Told(Event, name="emitter.told"):
    """Something was told."""

    id: int
    version: int


def _past(*moments: datetime) -> PastEvents:
    """Past events numbered from 1, of these moments."""

    def read(_connection: Connection, since: datetime, after: int, most: int) -> list[PastEvent]:
        numbered = [(n, moment) for n, moment in enumerate(moments, 1) if n > after and moment >= since]
        return [PastEvent(n, Told(id=n, version=n), f"told-{n}", moment) for n, moment in numbered[:most]]

    return PastEvents(frozenset({Told.operation_name}), read)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/emitter.db")
    migrate(database, None)
    yield database
    database.close()


def _emit(database: Database, *moments: datetime) -> None:
    """Events in the outbox, numbered as they are made."""
    with database.transaction() as transaction:
        for n, moment in enumerate(moments, 1):
            outbox.write(transaction.connection, [Outgoing(WordAdded(thing=1, version=n, word="told"))])
            newest = select(table.c.id).order_by(table.c.id.desc()).limit(1).scalar_subquery()
            transaction.connection.execute(update(table).where(table.c.id == newest).values(made_at=moment))


def _begin(database: Database, past: PastEvents | None = None, filter_: EventFilter = ALL) -> int:
    with database.transaction() as transaction:
        count = counted(transaction.connection, filter_, past)
        return begin(transaction.connection, "ann", filter_, count, "copies", "why")


def _words(messages: Sequence[Message]) -> list[str]:
    return [f"{each.type}-{_number(each)}" for each in messages]


def _number(message: Message) -> int:
    return int(read_json(message.body, dict[str, Any])["version"])


class Broker:
    """Confirms as many messages as `room`, refuses the next with `outcome`, and confirms what comes after it."""

    def __init__(self, room: int = 1000, outcome: PublishOutcome = PublishOutcome.FULL) -> None:
        self.room, self.outcome, self.sent = room, outcome, list[Message]()

    def send(self, messages: Sequence[Message]) -> list[PublishOutcome]:
        outcomes = [PublishOutcome.CONFIRMED for _ in messages]
        self.sent += messages[: self.room]
        if self.room < len(messages):
            outcomes[self.room] = self.outcome
        return outcomes


@pytest.mark.parametrize("most", [1, 2, 3, 500])
def test_events_of_the_outbox_and_of_the_services_tables_are_merged_by_their_time(
    database: Database, most: int
) -> None:
    _emit(database, NOON + 1 * MINUTE, NOON + 4 * MINUTE)
    past = _past(NOON, NOON + 2 * MINUTE, NOON + 3 * MINUTE, NOON + 5 * MINUTE)
    assert _words(replayed(database, ALL, past, most)) == [
        *("emitter.told-1", "emitter.word_added-1", "emitter.told-2", "emitter.told-3"),
        *("emitter.word_added-2", "emitter.told-4"),
    ]


@pytest.mark.parametrize("most", [1, 2, 500])
def test_events_of_one_place_keep_their_order_whatever_their_times(database: Database, most: int) -> None:
    _emit(database, NOON + 3 * MINUTE, NOON + 1 * MINUTE, NOON + 2 * MINUTE)
    past = _past(NOON + 2 * MINUTE, NOON, NOON + 1 * MINUTE)
    sent = _words(replayed(database, ALL, past, most))
    assert [each for each in sent if "told" in each] == [f"emitter.told-{n}" for n in (1, 2, 3)]
    assert [each for each in sent if "word" in each] == [f"emitter.word_added-{n}" for n in (1, 2, 3)]


def test_only_events_of_its_time_and_name_are_sent(database: Database) -> None:
    _emit(database, NOON, NOON + 2 * MINUTE)
    past = _past(NOON - MINUTE, NOON, NOON + 2 * MINUTE)
    half = EventFilter(since=NOON, until=NOON + MINUTE)
    assert _words(replayed(database, half, past)) == ["emitter.word_added-1", "emitter.told-2"]
    told = EventFilter(since=NOON, name="emitter.told")
    assert _words(replayed(database, told, past)) == ["emitter.told-2", "emitter.told-3"]
    assert replayed(database, EventFilter(since=NOON, name="emitter.nothing"), past) == []


def test_what_came_after_the_beginning_is_not_sent(database: Database) -> None:
    _emit(database, NOON)
    action = _begin(database)
    _emit(database, datetime.now(UTC) + MINUTE)
    broker = Broker()
    assert send_next(database, None, action, 500, broker.send) == Sent(sent=1, left=0)


def test_a_replay_counts_what_it_takes_and_goes_on_where_the_broker_took_no_more(database: Database) -> None:
    _emit(database, *(NOON + n * MINUTE for n in range(3)))
    past = _past(*(NOON + n * MINUTE for n in range(3)))
    action, broker = _begin(database, past), Broker(room=4)
    found = send_next(database, past, action, 500, broker.send)
    assert (found.sent, found.left, found.is_full) == (4, 2, True)
    assert "copies has more requests waiting" in found.why_stopped
    with database.reading() as transaction:
        recorded = action_with(transaction.connection, action)
        progress = progress_of(transaction.connection, recorded)
    assert (recorded.kind, recorded.made_by, recorded.reason) == ("events", "ann", "why")
    assert (recorded.taken, recorded.left) == (6, 2)
    assert recorded.chosen_by == "--since 2026-11-01T12:00:00Z --to copies"
    assert (progress.sent, progress.reached) == (4, NOON + MINUTE)
    broker.room = 1000
    assert send_next(database, past, action, 1, broker.send) == Sent(sent=1, left=1)
    assert send_next(database, past, action, 500, broker.send) == Sent(sent=1, left=0)
    assert send_next(database, past, action, 500, broker.send) == Sent(sent=0, left=0)
    assert len({each.message_id for each in broker.sent}) == 6
    assert {(each.exchange, each.queue) for each in broker.sent} == {("", "copies")}
    with database.reading() as transaction:
        assert action_with(transaction.connection, action).left == 0


def test_the_end_of_the_time_is_not_in_it(database: Database) -> None:
    _emit(database, NOON, NOON + MINUTE)
    past = _past(NOON, NOON + MINUTE)
    minute = EventFilter(since=NOON, until=NOON + MINUTE)
    assert _words(replayed(database, minute, past)) == ["emitter.word_added-1", "emitter.told-1"]


def test_a_queue_that_is_not_there_is_no_full_one(database: Database) -> None:
    _emit(database, NOON)
    found = send_next(database, None, _begin(database), 500, Broker(0, PublishOutcome.UNROUTABLE).send)
    assert (found.sent, found.left, found.is_full) == (0, 1, False)
    assert "There is no queue copies" in found.why_stopped
    assert send_next(database, None, _begin(database), 500, Broker(0, PublishOutcome.BLOCKED).send).is_full


@pytest.mark.parametrize("most", [1, 3, 500])
def test_a_batch_looks_for_rare_events_through_a_bounded_number_of_pages(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(event_replays, "PAGE", 2)
    monkeypatch.setattr(event_replays, "MOST_PAGES", 3)
    before, late = NOON - MINUTE, NOON + MINUTE
    past = _past(*([late] * 13), before, *([late] * 8), before)
    pages = list[int]()

    def read(connection: Connection, since: datetime, after: int, number: int) -> Sequence[PastEvent]:
        pages.append(after)
        return past.function(connection, since, after, number)

    rare = EventFilter(since=before, until=NOON)
    action, broker, batches = _begin(database, past, rare), Broker(), 0
    while True:
        pages.clear()
        batches += 1
        done = send_next(database, PastEvents(past.names, read), action, most, broker.send)
        assert len(pages) <= 3
        if not done.left:
            break
    assert _words(broker.sent) == ["emitter.told-14", "emitter.told-23"]
    assert batches >= 4


def test_a_page_that_is_not_full_is_not_the_last_one(database: Database) -> None:
    """A service may leave out what it has no event for."""
    past = _past(*([NOON] * 12))

    def read(connection: Connection, since: datetime, after: int, most: int) -> Sequence[PastEvent]:
        found = past.function(connection, since, after, most)
        return [each for each in found if each.position % 3 == 0][:1]

    assert len(replayed(database, ALL, PastEvents(past.names, read), 2)) == 4


@pytest.mark.parametrize("most", [1, 2, 500])
def test_what_is_rare_in_the_outbox_comes_in_its_order_too(
    database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Later events of the other place wait until the outbox was looked through."""
    monkeypatch.setattr(event_replays, "MOST_ROWS", 2)
    _emit(database, *([NOON - MINUTE] * 5), NOON + 1 * MINUTE, NOON - MINUTE, NOON + 3 * MINUTE)
    past = _past(NOON, NOON + 2 * MINUTE, NOON + 4 * MINUTE)
    assert _words(replayed(database, ALL, past, most)) == [
        *("emitter.told-1", "emitter.word_added-6", "emitter.told-2"),
        *("emitter.word_added-8", "emitter.told-3"),
    ]


def test_the_count_ends_at_a_bound_and_the_replay_does_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_replays, "MAX_EVENTS", 3)
    _emit(database, NOON)
    past = _past(*(NOON + n * MINUTE for n in range(4)))
    with database.reading() as transaction:
        count = counted(transaction.connection, ALL, past)
    assert (count.by_name, count.is_more) == ({"emitter.word_added": 1, "emitter.told": 4}, True)
    action, broker = _begin(database, past), Broker()
    assert send_next(database, past, action, 4, broker.send) == Sent(sent=4, left=1)
    assert _counts(database, action) == (3, 1, True)
    assert send_next(database, past, action, 4, broker.send) == Sent(sent=1, left=0)
    assert _counts(database, action) == (5, 0, False)


def _counts(database: Database, action: int) -> tuple[int, int, bool]:
    with database.reading() as transaction:
        found = action_with(transaction.connection, action)
    return found.taken, found.left, found.is_more


def test_the_count_ends_where_it_has_looked_through_much(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PAGE": 2, "MOST_PAGES": 2, "MOST_COUNTINGS": 2}.items():
        monkeypatch.setattr(event_replays, name, value)
    past = _past(*([NOON + MINUTE] * 6), NOON, *([NOON + MINUTE] * 6), NOON)
    with database.reading() as transaction:
        count = counted(transaction.connection, EventFilter(since=NOON, until=NOON + MINUTE), past)
    assert (count.total, count.is_more) == (1, True)


def test_one_that_stood_still_leaves_the_place_where_another_is(database: Database) -> None:
    _emit(database, *(NOON + n * MINUTE for n in range(3)))
    action, other = _begin(database), Broker()

    def send(messages: Sequence[Message]) -> list[PublishOutcome]:
        with database.transaction() as transaction:  # the lease ends, and another goes on
            gone = datetime.now(UTC) - MINUTE
            transaction.connection.execute(update(dead_letter_action).values(held_until=gone))
        send_next(database, None, action, 2, other.send)
        return [PublishOutcome.CONFIRMED for _ in messages]

    send_next(database, None, action, 1, send)
    with database.reading() as transaction:
        assert transaction.connection.execute(select(event_replay.c.sent)).scalar_one() == 2


DIE = """
import sys
from pathlib import Path
from bus import failpoints
from bus.database.engine import Database
from bus.database.event_replays import send_next
from bus.messaging.transport import PublishOutcome

def send(messages):
    Path(sys.argv[2]).write_text(" ".join(each.message_id for each in messages))
    return [PublishOutcome.CONFIRMED for _ in messages]

failpoints.arm({"BUS_FAILPOINT": "event-replay.after-confirm"})
send_next(Database(sys.argv[1]), None, 1, 2, send)
"""


def test_what_was_sent_by_a_worker_that_died_is_sent_again_and_nothing_is_left_out(
    database: Database, tmp_path: Path
) -> None:
    _emit(database, NOON, NOON, NOON)
    action, broker = _begin(database), Broker()
    died = subprocess.run(
        [sys.executable, "-c", DIE, f"sqlite:///{tmp_path}/emitter.db", tmp_path / "sent"], check=False
    )
    assert (action, died.returncode) == (1, -signal.SIGKILL)
    with pytest.raises(ActionBusy):
        send_next(database, None, action, 500, broker.send)
    with database.transaction() as transaction:
        transaction.connection.execute(update(dead_letter_action).values(held_until=NOON))
    assert send_next(database, None, action, 500, broker.send) == Sent(sent=3, left=0)
    ids = [each.message_id for each in broker.sent]
    assert (tmp_path / "sent").read_text().split() == ids[:2]


def test_events_that_were_deleted_meanwhile_end_a_replay_too(database: Database) -> None:
    _emit(database, NOON, NOON)
    action = _begin(database)
    with database.transaction() as transaction:
        transaction.connection.execute(delete(table))
    assert send_next(database, None, action, 500, Broker().send) == Sent(sent=0, left=0)


def test_an_action_that_sends_nothing_is_not_sent(database: Database) -> None:
    with database.transaction() as transaction:
        call = record(transaction.connection, "call", "ann", "emitter.add_word 1")
    for number in (call, 4711):
        with pytest.raises(UnknownAction):
            send_next(database, None, number, 500, Broker().send)
