"""Header values: forged ones become harmless, and valid ones stay as they are."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bus.messaging.headers import count, lines, moment, one_line

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("naïve ☃", "naïve ☃"),
        ("a\x00\x1b[31m\n\ud800\u202eb", "a\ufffd\ufffd[31m\ufffd\ufffd\ufffd"),
        ("abcdefghijk", "abcdefghij"),
        (b"bytes", ""),
        (7, ""),
        (None, ""),
        (["list"], ""),
    ],
)
def test_text_becomes_one_line_without_control_characters(value: object, text: str) -> None:
    assert one_line(value, 10) == text


def test_the_last_lines_of_a_long_text_are_kept() -> None:
    assert lines("one\ntwo\x1b\nthree", 12) == "e\ntwo\ufffd\nthree"
    assert lines(b"one", 12) == ""


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), (0, 0), (-1, 0), (10**30, 100), (True, None), (1.0, None), ("3", None), (None, None)],
)
def test_a_number_stays_within_its_limits(value: object, number: int | None) -> None:
    assert count(value, 100) == number


@pytest.mark.parametrize(
    "value",
    [
        "2026-06-01T11:00:00Z",
        "2026-06-01T13:00:00+02:00",
        datetime(2026, 6, 1, 11),  # as AMQP timestamps come
        datetime(2026, 6, 1, 13, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_a_time_is_read_as_utc(value: object) -> None:
    assert moment(value, NOW) == datetime(2026, 6, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-06-01T12:00:01Z",
        "1999-12-31",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        datetime.max,
        datetime.min,
        "yesterday",
        "2" * 10_000,
        1_780_000_000,
        None,
        {},
    ],
)
def test_a_time_in_the_future_or_long_past_or_invalid_is_dropped(value: object) -> None:
    assert moment(value, NOW) is None
