"""Headers: values that anybody may have forged, of any type or absent, made harmless to keep and to show."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime

# When a message was sent, in milliseconds since 1970. RabbitMQ's own timestamp interceptor sets the same header.
SENT_AT = "timestamp_in_ms"

# Before the first line of this project: an older time is a mistake or a forgery.
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
_LONGEST_TIME = 40  # characters of an ISO 8601 time
_OLDEST_MS = int(_OLDEST.timestamp()) * 1000
# As long as a message id is remembered. Whoever forges more than that spoils no average.
MOST_WAITED_MS = 7 * 24 * 60 * 60 * 1000


def one_line(value: object, limit: int) -> str:
    """Text of at most `limit` characters that a database takes and a terminal does not obey; "" for no text."""
    text = value[:limit] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def lines(value: object, limit: int) -> str:
    """The same with line breaks, and the last `limit` characters where there are more."""
    text = value[-limit:] if isinstance(value, str) else ""
    return "\n".join(one_line(line, limit) for line in text.split("\n"))


def count(value: object, limit: int) -> int | None:
    """A whole number from 0 to `limit`; None for what is no number."""
    return min(max(value, 0), limit) if type(value) is int else None


def moment(value: object, now: datetime) -> datetime | None:
    """A time up to `now`, in UTC, from ISO 8601 text or from an AMQP timestamp; None for any other."""
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_TIME:
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        # AMQP timestamps come without a zone, and are UTC (AMQP 0-9-1, section 4.2.5.4).
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return value if _OLDEST <= value <= now else None


def now_ms() -> int:
    """What goes into `timestamp_in_ms`."""
    return time.time_ns() // 1_000_000


def waited_ms(headers: Mapping[str, object], timestamp: object, now: int) -> int | None:
    """How many milliseconds ago a message was sent, as its header says, or else its AMQP timestamp in seconds.

    None when neither is a time after 2020: seconds in the place of milliseconds are none. A time to come is now.
    """
    for value, unit_ms in ((headers.get(SENT_AT), 1), (timestamp, 1000)):
        # pika has a kind of its own for long ones.
        if isinstance(value, int) and not isinstance(value, bool) and value * unit_ms >= _OLDEST_MS:
            return min(max(0, now - value * unit_ms), MOST_WAITED_MS)
    return None
