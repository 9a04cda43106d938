"""Times on the command line: ISO 8601, or an age."""

from datetime import UTC, datetime
from typing import Any

import click

from bus.contract.times import time_of


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
