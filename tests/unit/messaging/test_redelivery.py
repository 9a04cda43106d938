"""Redelivery: a copy keeps known headers and drops all others, and forged values have no effect."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bus.messaging.call import MAX_CALL_DEPTH
from bus.messaging.message import Message
from bus.messaging.redelivery import (
    alone,
    attempts_of,
    depth_of,
    first_at_of,
    later,
    original,
    postponed,
    postponements_of,
)
from bus.messaging.topology import quarantine_queue, retry_queues

RETRY = retry_queues("catalog")[0]
QUARANTINE = quarantine_queue("catalog")
MESSAGE = Message(
    queue="catalog.create_product",
    body=b"{}",
    message_id="1",
    correlation_id=b"\xff",
    reply_to="amq.gen-1",
    content_type="application/json",
    expiration_ms=5,
    headers={
        "traceparent": "00-1",
        "authorization": "Bearer x",
        "CC": ["auth.register"],
        "x-death": [],
        "role": "root",
    },
)

_anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.binary()


def test_a_copy_for_a_retry_goes_through_the_delay_to_its_own_queue() -> None:
    copy = later(MESSAGE, RETRY)
    assert (copy.exchange, copy.queue) == ("catalog.retry.5s", "catalog.create_product")
    assert (copy.body, copy.message_id, copy.correlation_id) == (b"{}", "1", b"\xff")
    assert (copy.reply_to, copy.content_type) == ("amq.gen-1", "application/json")
    assert copy.persistent
    assert copy.expiration_ms is None


def test_a_copy_has_only_known_headers() -> None:
    for copy in (later(MESSAGE, RETRY), alone(MESSAGE, QUARANTINE)):
        assert copy.headers.keys() <= {
            "traceparent",
            "attempts",
            "first-at",
            "origin-queue",
            "timestamp_in_ms",
        }
        assert copy.headers["traceparent"] == "00-1"


def test_a_copy_in_quarantine_names_its_own_queue() -> None:
    copy = alone(MESSAGE, QUARANTINE)
    assert copy.queue == "catalog.quarantine"
    assert original(copy).queue == "catalog.create_product"


def test_a_copy_for_a_retry_counts_as_sent_when_its_delay_is_over() -> None:
    now = int(time.time() * 1000)
    sent_at = later(MESSAGE, RETRY).headers["timestamp_in_ms"]
    assert isinstance(sent_at, int)
    assert 0 <= sent_at - now - 5_000 < 60_000


def test_each_retry_is_counted_and_the_first_time_stays() -> None:
    once = later(MESSAGE, RETRY)
    twice = later(alone(once, QUARANTINE), RETRY)
    assert [attempts_of(each) for each in (MESSAGE, once, twice)] == [0, 1, 2]
    assert once.headers["first-at"] == twice.headers["first-at"]


@given(_anything, _anything, _anything)
def test_forged_headers_give_a_bounded_count_and_a_time_in_the_past(attempts: Any, first: Any, origin: Any) -> None:
    message = Message(
        queue="catalog.quarantine", body=b"", headers={"attempts": attempts, "first-at": first, "origin-queue": origin}
    )
    assert 0 <= attempts_of(message) <= 1000
    assert first_at_of(message) <= datetime.now(UTC)
    assert isinstance(original(message).queue, str)


@pytest.mark.parametrize("forged", ["yesterday", 7, "9000-01-01T00:00:00+00:00"])
def test_a_first_time_that_is_invalid_or_in_the_future_is_now(forged: object) -> None:
    first = first_at_of(Message(queue="", body=b"", headers={"first-at": forged}))
    assert datetime.now(UTC) - first < timedelta(minutes=1)


def test_a_copy_has_a_token_only_if_it_is_sealed() -> None:
    headers = {"authorization": "Sealed eyJ", "caller": "[]", "caller-authenticator": "a"}
    sealed = Message(queue="catalog.create_product", body=b"{}", headers=headers)
    for copy in (later(sealed, RETRY), alone(sealed, QUARANTINE), postponed(sealed, RETRY)):
        assert headers.items() <= copy.headers.items()


@pytest.mark.parametrize("name", ["authorization", "caller", "traceparent", "tracestate"])
def test_a_header_that_nearly_fills_a_frame_is_dropped(name: str) -> None:
    message = Message(queue="catalog.create_product", body=b"{}", headers={name: "x" * 130_000})
    for copy in (later(message, RETRY), alone(message, QUARANTINE)):
        assert name not in copy.headers


def test_a_postponed_message_counts_how_often_and_keeps_its_depth_and_its_tries() -> None:
    message = structs.replace(MESSAGE, headers={**MESSAGE.headers, "call-depth": 3, "attempts": 2})
    copy = postponed(postponed(message, RETRY), RETRY)
    assert (postponements_of(copy), depth_of(copy), attempts_of(copy)) == (2, 3, 2)
    assert postponements_of(later(copy, RETRY)) == 0


@given(_anything)
def test_a_forged_depth_is_bounded(value: Any) -> None:
    assert 0 <= depth_of(structs.replace(MESSAGE, headers={"call-depth": value})) <= MAX_CALL_DEPTH + 1
