"""Times as people write them: ISO 8601, or an age."""

import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def time_of(text: str, now: datetime) -> datetime:
    """The time that a text stands for: ISO 8601, in UTC unless it has an offset, or an age such as `90s` or `2h`.

    Returns it in UTC. Raises ValueError.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("out of the calendar's range") from None
