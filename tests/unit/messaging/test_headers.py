"""Headers: forged values become harmless ones, and good ones stay as they are."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from bus.messaging.headers import count, lines, moment, one_line
from bus.messaging.message import MOST_WAITED_MS, waited_ms

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
def test_text_is_kept_on_one_line_without_what_a_terminal_obeys(value: object, text: str) -> None:
    assert one_line(value, 10) == text


def test_of_many_lines_the_last_are_kept() -> None:
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
def test_a_time_to_come_or_long_gone_or_none_at_all_is_not_believed(value: object) -> None:
    assert moment(value, NOW) is None


NOW_MS = int(NOW.timestamp() * 1000)


@pytest.mark.parametrize(
    ("header", "timestamp", "waited"),
    [
        (NOW_MS - 250, None, 250),
        (NOW_MS - 250, NOW_MS // 1000 - 9, 250),
        (None, NOW_MS // 1000 - 9, 9000),
        ("soon", NOW_MS // 1000 - 9, 9000),
        (NOW_MS + 60_000, None, 0),
        (2**63 - 1, None, 0),
        (NOW_MS - 2 * MOST_WAITED_MS, None, MOST_WAITED_MS),
        (NOW_MS // 1000, None, None),
        (0, 0, None),
        (-(2**63), -1, None),
        (True, True, None),
        (float(NOW_MS), None, None),
        (str(NOW_MS), str(NOW_MS), None),
        (None, None, None),
        ([NOW_MS], {}, None),
    ],
)
def test_the_time_a_message_waited_is_bounded_or_not_known(
    header: object, timestamp: object, waited: int | None
) -> None:
    assert waited_ms({"timestamp_in_ms": header}, timestamp, NOW_MS) == waited
