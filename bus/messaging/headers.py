"""Headers: values that anybody may have forged, of any type or absent, made harmless to keep and to show."""

from datetime import UTC, datetime

# Before the first line of this project: an older time is a mistake or a forgery.
_OLDEST = datetime(2020, 1, 1, tzinfo=UTC)
_LONGEST_TIME = 40  # characters of an ISO 8601 time


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
