"""Live events: filtered, bounded, and without what is secret."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from support.hostile_text import HOSTILE, check_shown_as_text

from bus.console import event_tail
from bus.console.event_tail import MOST_CHARACTERS, MOST_KEPT, EventTail
from bus.console.events import MOST_SHOWN
from bus.contract.events import Event
from bus.contract.fields import Secret
from bus.messaging.connect import connected
from bus.messaging.memory import Embedded
from bus.messaging.memory.broker import broker_of
from bus.messaging.message import Message
from bus.messaging.topology import EVENTS_EXCHANGE, matches_topic
from bus.messaging.transport import Transport, TransportFailure
from bus.testing.waiting import wait_until

WAIT_SECONDS = 30.0


class DoorOpened(Event, name="house.door_opened"):
    """It has a field that no event should have."""

    id: int
    pin: Annotated[str, Secret()]
    version: int


@pytest.fixture
def publisher(memory_url: str) -> Iterator[Transport]:
    with connected(memory_url, "publisher") as transport:
        yield transport


def _publish(publisher: Transport, name: str, body: bytes, message_id: str = "id-1") -> None:
    publisher.publish(
        Message(queue=name, exchange=EVENTS_EXCHANGE, type=name, message_id=message_id, body=body), lambda _: None
    )


def _listening(tail: EventTail, publisher: Transport) -> None:
    """Wait until the tail listens: the events of before are missed."""

    def hears() -> bool:
        _publish(publisher, "house.bell_rung", b"{}")
        return tail.look().count > 0

    wait_until(hears, WAIT_SECONDS, "it listens")
    _publish(publisher, "house.bell_rung", b"{}", "the last one")
    wait_until(lambda: tail.look().kept[-1].message_id == "the last one", WAIT_SECONDS, "all have come")


@pytest.mark.parametrize(
    ("name", "pattern", "matches"),
    [
        ("catalog.product_changed", "catalog.product_changed", True),
        ("catalog.product_changed", "catalog.*", True),
        ("catalog.product_changed", "*.product_changed", True),
        ("catalog.product_changed", "#", True),
        ("catalog.product_changed", "catalog.#", True),
        ("catalog", "catalog.#", True),
        ("a.b.c", "a.#.c", True),
        ("a.c", "a.#.c", True),
        ("a.b.c", "a.*", False),
        ("catalog.product_changed", "catalog", False),
        ("catalogXproduct_changed", "catalog.product_changed", False),
        ("catalog.product_changed", "cat*", False),
        ("", "#", True),
        ("a.b.c.d", "#.c.#", True),
        ("a.b.c.d", "#.e.#", False),
        (".".join("a" * 100), ".".join(["#", "a"] * 60 + ["b"]), False),
    ],
)
def test_a_pattern_is_that_of_a_topic_exchange(name: str, pattern: str, *, matches: bool) -> None:
    assert matches_topic(name, pattern) is matches


def test_more_events_than_are_kept_leave_the_last_ones_and_their_number(
    memory_url: str, publisher: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_tail, "UNWATCHED_SECONDS", WAIT_SECONDS)
    tail = EventTail(memory_url, {})
    _listening(tail, publisher)
    before = tail.look().count
    many = MOST_KEPT + 500
    for number in range(many):
        _publish(publisher, "house.bell_rung", b"%d" % number + b"x" * MOST_CHARACTERS)
    wait_until(lambda: tail.look().count >= before + many, WAIT_SECONDS, "all have come")
    seen = tail.look()
    assert len(seen.kept) == MOST_KEPT
    assert seen.kept[-1].body.startswith(f"{many - 1}x")
    assert (len(seen.kept[-1].body), seen.kept[-1].is_cut) == (MOST_CHARACTERS, True)
    tail.stop()


def test_secret_fields_are_cut_and_what_cannot_be_read_is_cut_as_a_whole(memory_url: str, publisher: Transport) -> None:
    tail = EventTail(memory_url, {DoorOpened.operation_name: DoorOpened})
    _listening(tail, publisher)
    before = tail.look().count
    _publish(publisher, "house.door_opened", b'{"id":1,"pin":"0815","version":1}')
    _publish(publisher, "house.door_opened", b'{"pin":"0815"}')
    wait_until(lambda: tail.look().count >= before + 2, WAIT_SECONDS, "both have come")
    whole, broken = tail.look().kept[-2:]
    assert json.loads(whole.body) == {"id": 1, "pin": "[secret]", "version": 1}
    assert broken.body == "[secret]"
    tail.stop()


def test_it_stops_listening_when_nobody_looks(
    memory_url: str, publisher: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = EventTail(memory_url, {})
    _listening(tail, publisher)
    monkeypatch.setattr(event_tail, "UNWATCHED_SECONDS", 0.0)
    tail.look()
    wait_until(lambda: tail._thread is None, WAIT_SECONDS, "it has ended")
    assert not [queue for queue in broker_of(memory_url).queues if queue.startswith("bus.watch.")]
    assert not [queue for queue in broker_of(memory_url).declared if queue.startswith("bus.watch.")]
    assert not broker_of(memory_url).listeners["#"]


def test_the_page_shows_what_matches_and_how_many_it_does_not_show(operating: Any, publisher: Transport) -> None:
    operating.enter()
    tail = operating.console.tail
    _listening(tail, publisher)
    for number in range(MOST_SHOWN + 10):
        _publish(publisher, "catalog.product_changed", b'{"name":"Lamp %d"}' % number, f"id-{number}")
    for text in HOSTILE:
        _publish(publisher, text[:200], text.encode("utf-8", "backslashreplace"), "id")
    wait_until(
        lambda: len(HOSTILE) <= len([1 for each in tail.look().kept if each.message_id == "id"]), WAIT_SECONDS, "x"
    )
    page = operating.get("/events?name=catalog.*")
    assert "10 older ones that match are not shown" in page
    assert f"Lamp {MOST_SHOWN + 9}&#34;" in page
    assert "Lamp 9&#34;" not in page
    assert 'data-stream="/events/live?name=catalog.%2A"' in page
    assert "Lamp 7&#34;" in operating.get("/events?text=lamp+7%22&still=1")
    assert "data-stream" not in operating.get("/events?still=1")
    assert "None of them matches" in operating.get("/events?service=auth")
    check_shown_as_text(operating.get("/events"), "events")
    stream = operating.http.get("/events/live?name=catalog.*").response
    assert next(stream) == b"retry: 500\n"
    assert b"Lamp" in next(stream)
    operating.console.stopping.set()
    assert next(stream, None) is None
    tail.stop()


def test_a_broker_that_is_away_is_said_so() -> None:
    tail = EventTail("amqp://guest:guest@127.0.0.1:1/", {})
    tail.look()
    wait_until(lambda: "cannot be reached" in tail.look().trouble, WAIT_SECONDS, "it says so")
    tail.stop()


def test_after_trouble_the_broker_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def refused(url: str, *_: str) -> None:
        opened.append(url)
        raise TransportFailure("This user may not make queues.")

    monkeypatch.setattr(event_tail, "event_stream", refused)
    tail = EventTail("memory://refused", {})
    tail.look()
    wait_until(lambda: tail._thread is None, WAIT_SECONDS, "it has been refused")
    for _ in range(3):
        assert tail.look().trouble == "This user may not make queues."
        assert tail._thread is None
    assert len(opened) == 1
    tail._paused_until = 0.0
    wait_until(lambda: tail.look() and len(opened) == 2, WAIT_SECONDS, "it begins again")


def test_a_connection_that_is_lost_is_said_so_until_it_is_there_again(
    memory_url: str, publisher: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = EventTail(memory_url, {})
    _listening(tail, publisher)
    assert tail.look().trouble == ""
    with monkeypatch.context() as lost:
        lost.setattr(Embedded, "wait_until_ready", lambda *_: False)
        assert "is lost. Events are missed" in tail.look().trouble
    assert tail.look().trouble == ""
    tail.stop()


def test_what_would_turn_or_hide_text_is_replaced(memory_url: str, publisher: Transport) -> None:
    tail = EventTail(memory_url, {})
    _listening(tail, publisher)
    _publish(publisher, "house.\u202ebell", '{"a": "\u202ex\x00",\n"b": 1}'.encode(), "id\x1b")
    wait_until(lambda: tail.look().kept[-1].name != "house.bell_rung", WAIT_SECONDS, "it has come")
    seen = tail.look().kept[-1]
    assert (seen.name, seen.message_id) == ("house.\ufffdbell", "id\ufffd")
    assert seen.body == '{"a": "\ufffdx\ufffd",\n"b": 1}'
    tail.stop()
