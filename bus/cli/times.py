"""Times on the command line: ISO 8601, or an age."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_AGO = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Time(click.ParamType[datetime]):
    """ISO 8601, in UTC unless it has an offset; or an age in seconds, minutes, hours or days: `90s`, `2h`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The time, in UTC. Raises click.BadParameter."""
        try:
            return time_of(value, datetime.now(UTC))
        except ValueError:
            message = (
                f"{value!r} is not a time: use ISO 8601 such as 2026-11-25T08:00 (UTC), or an age such as 2h or 3d."
            )
            self.fail(message, param, ctx)


def time_of(text: str, now: datetime) -> datetime:
    """The time that a text stands for, in UTC. Raises ValueError."""
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("out of the calendar's range") from None
