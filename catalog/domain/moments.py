"""Moments: the tables have them as milliseconds since 1970, which both databases compare and sort as numbers."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def moment(milliseconds: int) -> datetime:
    """The moment, in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


def milliseconds(moment: datetime) -> int:
    """The milliseconds until a moment with a time zone, rounded up."""
    return -((_EPOCH - moment) // _MILLISECOND)
