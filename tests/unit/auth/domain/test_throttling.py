"""Throttling: the wait grows from the fifth failure, up to an end."""

from datetime import UTC, datetime, timedelta

import pytest

from auth.domain.throttling import ACCOUNT_FAILURES


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (16, 900), (10**9, 900)]
)
def test_each_failure_from_the_fifth_doubles_the_wait(count: int, seconds: int) -> None:
    assert ACCOUNT_FAILURES.wait_after(count) == timedelta(seconds=seconds)


def test_a_count_to_which_nothing_was_added_for_a_day_is_forgotten() -> None:
    now = datetime.now(UTC)
    assert not ACCOUNT_FAILURES.is_forgotten(now - timedelta(hours=23), now)
    assert ACCOUNT_FAILURES.is_forgotten(now - timedelta(hours=24), now)
