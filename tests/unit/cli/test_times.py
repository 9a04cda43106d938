"""What commands share: times on the command line."""

from datetime import UTC, datetime

import click
import pytest

from bus.cli.times import Time
from bus.contract.times import time_of

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90s", datetime(2026, 11, 25, 11, 58, 30, tzinfo=UTC)),
        ("5m", datetime(2026, 11, 25, 11, 55, tzinfo=UTC)),
        ("2h", datetime(2026, 11, 25, 10, tzinfo=UTC)),
        ("3d", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T08:00", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24T08:00Z", datetime(2026, 11, 24, 8, tzinfo=UTC)),
        ("2026-11-24T08:00+02:00", datetime(2026, 11, 24, 6, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_date_or_an_age(text: str, moment: datetime) -> None:
    assert time_of(text, NOW) == moment


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2w", "-2h", "2 h", "h", "2026-13-01", "0001-01-01T00:00+01:00", "999999d"]
)
def test_an_invalid_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is not a time: use ISO 8601 such as .*, or an age such as 2h"):
        Time().convert(text, None, None)
