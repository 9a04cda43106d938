"""Letters: whatever arrives in the dead letters is read, and nothing in it is believed."""

import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from support.dead_letters import LETTER_KEY, delivery_of
from support.example_service import make_service

from bus.contract.identity import ANONYMOUS, Caller
from bus.dead_letters.body import NOT_KEPT
from bus.dead_letters.envelope import Fault, dead_letter
from bus.dead_letters.reading import read_dead_letter
from bus.dead_letters.store import ReceivedDeadLetter
from bus.messaging.message import MAX_BODY_BYTES, Message, arrived
from bus.messaging.rabbitmq.properties import TolerantProperties, message_of
from bus.security.vouching import caller_named, vouch
from bus.service.service import Service
from bus.worker.dead_letters import last_reply

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DIED = datetime(2026, 6, 1, 11, tzinfo=UTC)
OPERATIONS = make_service().operations
WORD = b'{"word":"a"}'
SECRET = b'{"word":"a","password":"hunter22"}'


def _read(message: Message, *, again: bool = False) -> ReceivedDeadLetter:
    return read_dead_letter(delivery_of(message, again=again), OPERATIONS, NOW, LETTER_KEY)


def _dead(headers: Any, body: bytes = WORD, **properties: Any) -> Message:
    return Message(queue="example.dead", body=body, headers=headers, **properties)


def _moved(reason: str = "delivery_limit", queue: str = "example.keep", **headers: Any) -> dict[str, Any]:
    """As every RabbitMQ from 3.10 on has it; times come without a zone."""
    death = {"reason": reason, "queue": queue, "count": 1, "time": DIED.replace(tzinfo=None), "exchange": ""}
    return {"x-death": [death], "x-first-death-queue": queue, "x-first-death-reason": reason, **headers}


def test_what_a_worker_buried_is_read_as_it_was_written() -> None:
    request = Message(queue="example.keep", body=WORD, message_id="1", correlation_id=b"\xff", reply_to="reply")
    fault = Fault("Broken", "Traceback:\n  one\n")
    message = dead_letter(
        request, "example", WORD, key=LETTER_KEY, reason="fault", detail="No.", fault=fault, attempts=4
    )
    letter = read_dead_letter(delivery_of(message), OPERATIONS, datetime.now(UTC), LETTER_KEY)
    assert (letter.letter_id, letter.message_id) == (message.headers["letter-id"], "1")
    assert (letter.operation, letter.origin_queue, letter.body) == ("example.keep", "example.keep", WORD)
    assert (letter.reason, letter.detail, letter.attempts) == ("fault", "No.", 4)
    assert (letter.error_class, letter.traceback) == ("Broken", "Traceback:\n  one\n")
    assert (letter.properties.correlation_id, letter.properties.reply_to) == ("\\xff", "reply")
    assert letter.whole
    assert not letter.by_broker
    assert abs(letter.last_at - datetime.now(UTC)) < timedelta(minutes=1)


ANN = Caller(id="17", session="s1", scopes=frozenset(("words:write",)))
FORGED = {"caller": '["1","",["admin"]]', "caller-authenticator": "0" * 64, "authorization": "Bearer readable"}


def test_the_caller_that_a_worker_verified_is_kept_with_the_letter_and_no_token() -> None:
    request = Message(queue="example.keep", body=WORD, message_id="1", headers=FORGED)
    for caller in (ANN, ANONYMOUS):
        written = dead_letter(request, "example", WORD, key=LETTER_KEY, reason="fault", detail="", caller=caller)
        assert "readable" not in str(written)
        letter = read_dead_letter(delivery_of(written), OPERATIONS, datetime.now(UTC), LETTER_KEY)
        assert caller_named(letter.properties.caller) == caller
        # A letter that is changed on its way is no worker's.
        changed = structs.replace(written, headers={**written.headers, "caller": FORGED["caller"]})
        assert _read(changed).properties.caller == ""


def test_of_what_the_broker_moved_only_a_caller_whom_a_worker_vouched_for_is_kept() -> None:
    vouched = vouch(Message(queue="example.keep", body=WORD, message_id="1"), ANN, LETTER_KEY)
    headers = _moved(queue="example.quarantine", **{**vouched.headers, "origin-queue": "example.keep"})
    assert caller_named(_read(_dead(headers, message_id="1")).properties.caller) == ANN
    assert _read(_dead(headers, message_id="2")).properties.caller == ""
    assert _read(_dead(_moved(**FORGED), message_id="1")).properties.caller == ""


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("delivery_limit", "delivery-limit"),
        ("expired", "expired"),
        ("rejected", "rejected"),
        ("maxlen", "maxlen"),
        ("something new", "unknown"),
    ],
)
def test_what_the_broker_moved_has_its_reason(told: str, reason: str) -> None:
    letter = _read(_dead(_moved(told)))
    assert (letter.reason, letter.operation, letter.last_at, letter.by_broker) == (reason, "example.keep", DIED, True)


def test_without_a_list_of_deaths_the_first_one_counts() -> None:
    headers = {"x-first-death-queue": "example.keep", "x-first-death-reason": "expired"}
    letter = _read(_dead(headers))
    assert (letter.reason, letter.operation, letter.by_broker) == ("expired", "example.keep", True)


def test_the_newest_death_counts_more_than_what_the_sender_forged() -> None:
    forged = {"x-first-death-queue": "example.keep_all", "x-first-death-reason": "maxlen", "reason": "fault"}
    moved = _moved()["x-death"] + [{"queue": "example.keep_all", "reason": "expired"}]
    letter = _read(_dead({**forged, "x-death": moved, "origin-queue": "example.count", "error-class": "Forged"}))
    assert (letter.reason, letter.operation, letter.error_class) == ("delivery-limit", "example.keep", "")


def test_from_a_queue_in_between_our_headers_name_the_origin() -> None:
    ours = {"origin-queue": "example.keep", "attempts": 7, "first-at": "2026-05-31T00:00:00Z"}
    letter = _read(_dead(_moved(queue="example.quarantine", **ours)))
    assert (letter.operation, letter.attempts) == ("example.keep", 7)
    assert (letter.first_at, letter.last_at) == (datetime(2026, 5, 31, tzinfo=UTC), DIED)


def test_what_anybody_published_there_is_kept_with_an_unknown_reason() -> None:
    letter = _read(_dead({}, b"hello"))
    assert (letter.reason, letter.operation, letter.message_id, letter.attempts) == ("unknown", "", None, 1)
    assert (letter.first_at, letter.last_at) == (NOW, NOW)


def test_the_secrets_of_what_the_broker_moved_are_cut() -> None:
    letter = _read(_dead(_moved(queue="example.keep_secret"), SECRET))
    assert b"hunter22" not in msgspec.json.encode(letter)
    assert msgspec.json.decode(letter.body) == {"word": "a", "password": "[secret]"}
    assert not letter.whole


@pytest.mark.parametrize("queue", ["example.keep_secret", "example.gone", ""])
def test_a_body_that_may_hold_secrets_and_cannot_be_read_is_not_kept(queue: str) -> None:
    letter = _read(_dead(_moved(queue=queue), SECRET[:-1]))
    assert (letter.body, letter.whole) == (NOT_KEPT, False)


def test_a_service_without_secrets_keeps_what_it_does_not_know() -> None:
    letter = read_dead_letter(delivery_of(_dead({}, SECRET)), Service("shop").operations, NOW, LETTER_KEY)
    assert (letter.body, letter.whole) == (SECRET, True)


def test_a_body_that_was_cut_is_known_to_be() -> None:
    cut = b'{"word":"a","password":"[secret]"}'
    request = Message(queue="example.keep_secret", body=SECRET)
    letter = _read(dead_letter(request, "example", cut, key=LETTER_KEY, reason="refused", detail=""))
    assert (letter.body, letter.whole) == (cut, False)
    assert not _read(_dead(_moved(), b"x" * (MAX_BODY_BYTES + 1))).whole


def test_what_a_program_published_there_is_shown_as_its_claim_and_decides_nothing() -> None:
    request = Message(queue="other.events", type="other.happened", body=WORD, message_id="order-1")
    forged = dead_letter(request, "example", WORD, key=b"not ours", reason="fault", detail="Forged.", attempts=9)
    letter = _read(forged)
    assert (letter.reason, letter.operation, letter.origin_queue, letter.message_id) == ("unknown", "", "", None)
    assert (letter.attempts, letter.first_at, letter.last_at, letter.error_class) == (1, NOW, NOW, "")
    assert letter.letter_id != forged.headers["letter-id"]
    assert letter.properties.message_id == "order-1"
    assert "published it to the dead letters directly" in letter.detail
    assert "origin-queue=other.events, reason=fault, detail=Forged." in letter.detail


@pytest.mark.parametrize(
    ("moved_from", "named", "origin"),
    [
        ("example.keep", "other.events", "example.keep"),
        ("example.events", "", "example.events"),
        ("example.quarantine", "example.keep", "example.keep"),
        ("example.quarantine", "example.events", "example.quarantine"),
        ("example.quarantine", "other.keep", "example.quarantine"),
        ("example.x.events", "", ""),
        ("other.events", "example.keep", ""),
        ("other.keep", "example.events", ""),
    ],
)
def test_no_letter_names_a_queue_of_another_service(moved_from: str, named: str, origin: str) -> None:
    """Whoever writes `x-death` could as well have published to the queue that it names."""
    letter = _read(_dead(_moved(queue=moved_from, **{"origin-queue": named}), type="a.b"))
    assert (letter.origin_queue, letter.by_broker) == (origin, True)


def test_a_message_is_the_same_letter_at_every_delivery() -> None:
    once = _read(_dead(_moved(), message_id="1"))
    again = _read(_dead({"x-delivery-count": 3, **_moved()}, message_id="1"), again=True)
    assert once.letter_id == again.letter_id
    assert _read(_dead(_moved(), message_id="2")).letter_id != once.letter_id
    assert _read(_dead(_moved(), b"{}", message_id="1")).letter_id != once.letter_id
    assert _read(_dead(_moved("expired"), message_id="1")).letter_id != once.letter_id


@pytest.mark.parametrize("forged", ["", "a" * 32, "A" * 32, "a" * 31, "a" * 33, 7, None, b"a" * 32, "a" * 32 + "\n"])
def test_an_id_that_is_none_of_ours_is_not_taken(forged: object) -> None:
    assert _read(_dead({"letter-id": forged, "reason": "fault"})).letter_id != forged


def test_the_broker_moves_nothing_that_has_an_id_of_ours() -> None:
    assert _read(_dead(_moved(**{"letter-id": "a" * 32}))).letter_id != "a" * 32


_TEXTS = st.text() | st.sampled_from(["example.keep", "fault", "\x00", "\ud800", "\x1b[31m", "a" * 32, "x" * 100_000])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | _TEXTS | st.datetimes()
    | st.sampled_from([Decimal("1e300"), "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 2**63]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["queue", "reason", "count", "time", "x"]), inner, max_size=5),
    max_leaves=10,
)  # fmt: skip
_NAMES = st.sampled_from(
    [
        *("letter-id", "origin-queue", "reason", "detail", "error-class", "traceback", "attempts", "first-at"),
        *("died-at", "traceparent", "reply-to", "x-death", "x-first-death-queue", "x-first-death-reason", "other"),
    ]
)


@given(
    headers=st.dictionaries(_NAMES, _VALUES, max_size=8),
    body=st.binary() | st.sampled_from([WORD, SECRET]),
    message_id=st.none() | _TEXTS,
    correlation_id=st.none() | st.binary(max_size=255) | _TEXTS,
)
def test_no_header_can_do_harm(headers: dict[str, Any], body: bytes, message_id: Any, correlation_id: Any) -> None:
    letter = _read(_dead(headers, body, message_id=message_id, correlation_id=correlation_id))
    encoded = msgspec.json.encode(letter.properties).decode()
    texts = [letter.letter_id, letter.origin_queue, letter.reason, letter.detail, letter.error_class, encoded]
    assert all(text.isprintable() for text in texts)
    assert letter.traceback.replace("\n", "").isprintable()
    assert len(letter.traceback) <= 8192
    assert max(map(len, texts[:-1])) <= 1000
    assert letter.operation in {"", *OPERATIONS}
    assert 0 <= letter.attempts <= 1_000_000
    assert letter.first_at <= letter.last_at <= NOW
    assert b"hunter22" not in letter.body or letter.operation in ("example.keep", "example.keep_all")


def test_headers_nested_as_deep_as_they_can_come_are_read() -> None:
    deep: Any = "x"
    for _ in range(400):
        deep = {"a": [deep]}
    assert _read(_dead({"x-death": deep, "other": deep})).reason == "unknown"


# Whom to tell.


def _told(headers: Any, reply_to: str | None = "reply") -> Message | None:
    message = _dead(headers, reply_to=reply_to, correlation_id="7")
    return last_reply(_read(message), arrived(message, tag=1, session=1, deaths=0), OPERATIONS)


def test_who_waits_for_a_command_that_the_broker_gave_up_is_told_once() -> None:
    reply = _told(_moved())
    assert reply is not None
    assert (reply.queue, reply.correlation_id, reply.headers["status"]) == ("reply", "7", 500)
    assert b'"internal-error"' in reply.body
    assert b'"trace_id"' in reply.body


@pytest.mark.parametrize(
    ("headers", "reply_to"),
    [
        ({"reason": "fault", "origin-queue": "example.keep"}, "reply"),  # the worker that buried it has told
        (_moved(queue="example.count"), "reply"),
        (_moved(queue="example.gone"), "reply"),
        (_moved(), None),
        (_moved(), "example.keep"),
        (_moved(), "example.dead"),
    ],
)
def test_nobody_else_is_told(headers: Any, reply_to: str | None) -> None:
    assert _told(headers, reply_to) is None


# Every kind of value that RabbitMQ takes (AMQP 0-9-1, section 4.2.5, with RabbitMQ's errata), with any bytes in it.


def _long_text(kind: bytes) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=20).map(lambda raw: kind + struct.pack(">I", len(raw)) + raw)


def _short_text(raw: bytes) -> bytes:
    return bytes([len(raw)]) + raw


def _table(fields: list[tuple[bytes, bytes]]) -> bytes:
    content = b"".join(_short_text(name) + value for name, value in fields)
    return struct.pack(">I", len(content)) + content


_SIZES = {b"t": 1, b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8, b"f": 4, b"d": 8, b"D": 5, b"T": 8}
_NUMBERS = [
    st.binary(min_size=size, max_size=size).map(lambda raw, kind=kind: kind + raw)  # type: ignore[misc]
    for kind, size in _SIZES.items()
]
_RAW_NAMES = st.binary(max_size=10) | _NAMES.map(str.encode)


def _raw_tables(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(_RAW_NAMES, values), max_size=4).map(_table)


_RAW_VALUES = st.recursive(
    st.one_of(st.just(b"V"), _long_text(b"S"), _long_text(b"x"), *_NUMBERS),
    lambda inner: (
        _raw_tables(inner).map(lambda table: b"F" + table)
        | st.lists(inner, max_size=4).map(b"".join).map(lambda raw: b"A" + struct.pack(">I", len(raw)) + raw)
    ),
    max_leaves=10,
)
_RAW_PROPERTY = st.binary(max_size=255) | st.just("é".encode() * 127)


@given(
    table=_raw_tables(_RAW_VALUES),
    moved=st.booleans(),
    properties=st.lists(_RAW_PROPERTY, min_size=4, max_size=4),
)
def test_any_bytes_in_any_header_or_property_make_a_letter_that_a_database_takes(
    table: bytes, moved: bool, properties: list[bytes]
) -> None:
    if moved:
        death = _table([(b"queue", b"S" + struct.pack(">I", 12) + b"example.keep")])
        extra = _short_text(b"x-death") + b"A" + struct.pack(">I", len(death) + 1) + b"F" + death
        table = struct.pack(">I", len(table) - 4 + len(extra)) + extra + table[4:]
    content_type, correlation_id, message_id, kind = map(_short_text, properties)
    flags = (1 << 15) | (1 << 13) | (1 << 10) | (1 << 7) | (1 << 5)
    encoded = struct.pack(">H", flags) + content_type + table + correlation_id + message_id + kind
    letter = _read(message_of("example.dead", TolerantProperties().decode(encoded), WORD))
    row = letter.as_row()
    for text in (value for value in row.values() if isinstance(value, str)):
        text.encode()
        assert "\x00" not in text
    assert b"\x00" not in row["properties"]
    assert msgspec.json.encode({**row, "first_at": letter.first_at, "last_at": letter.last_at})
    assert _read(message_of("example.dead", TolerantProperties().decode(encoded), WORD), again=True) == structs.replace(
        letter, again=True
    )
