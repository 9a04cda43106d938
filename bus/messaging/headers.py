"""Header values of unknown type, possibly forged, made safe to store and to print."""

from datetime import UTC, datetime

# Older than this project: an earlier time is a mistake or a forgery.
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
_LONGEST_TIME = 40  # characters of an ISO 8601 time


def one_line(value: object, limit: int) -> str:
    """At most `limit` printable characters, safe for a database and a terminal; "" for what is not text."""
    text = value[:limit] if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def lines(value: object, limit: int) -> str:
    """The last `limit` characters, printable but for line breaks; "" for what is not text."""
    text = value[-limit:] if isinstance(value, str) else ""
    return "\n".join(one_line(line, limit) for line in text.split("\n"))


def count(value: object, limit: int) -> int | None:
    """A whole number from 0 to `limit`; None for what is not a whole number."""
    return min(max(value, 0), limit) if type(value) is int else None


def moment(value: object, now: datetime) -> datetime | None:
    """A time up to `now`, in UTC, from ISO 8601 text or an AMQP timestamp; None for any other value."""
    try:
        if isinstance(value, str) and len(value) <= _LONGEST_TIME:
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        # pika gives AMQP timestamps without a zone; they are UTC (AMQP 0-9-1, section 4.2.5.4).
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return value if _OLDEST <= value <= now else None
