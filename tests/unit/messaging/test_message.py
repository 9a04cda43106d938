"""Messages: how long ago one was sent, whatever its headers say."""

from datetime import UTC, datetime

import pytest

from bus.messaging.message import MOST_WAITED_MS, waited_ms

NOW_MS = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)


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
def test_the_time_since_a_message_was_sent_is_bounded_or_unknown(
    header: object, timestamp: object, waited: int | None
) -> None:
    assert waited_ms({"timestamp_in_ms": header}, timestamp, NOW_MS) == waited
