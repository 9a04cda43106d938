"""Clocks: a difference is reported when it is certain, and only then."""

from datetime import UTC, datetime, timedelta

import pytest

from bus.runtime.doctor.findings import clock_finding

BEFORE = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
AFTER = BEFORE + timedelta(seconds=3)


def _state(seconds_after_before: float) -> tuple[str, str]:
    finding = clock_finding("worker", "catalog", BEFORE + timedelta(seconds=seconds_after_before), BEFORE, AFTER)
    return finding.state, finding.detail


@pytest.mark.parametrize("seconds", [-1, -0.5, 0, 1.5, 3, 4])
def test_a_clock_that_may_be_within_a_second_of_ours_is_right(seconds: float) -> None:
    assert _state(seconds)[0] == "ok"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1.2, "1.2 s behind"), (4.5, "1.5 s ahead of"), (3603, "3600.0 s ahead")]
)
def test_a_clock_that_is_certainly_more_than_a_second_off_is_reported_with_its_side(
    seconds: float, expected: str
) -> None:
    state, detail = _state(seconds)
    assert state == "wrong"
    assert expected in detail
