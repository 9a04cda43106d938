"""Throttling: the wait of guesses grows from the fifth failure, up to an end; that of an address keeps to a rate."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.domain.throttling import ACCOUNT_FAILURES, MAILS, Rate, client_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RATE = Rate(burst=3, pause=timedelta(seconds=10))


@pytest.mark.parametrize(
    ("count", "seconds"), [(1, 0), (4, 0), (5, 1), (6, 2), (7, 4), (14, 512), (15, 900), (16, 900), (10**9, 900)]
)
def test_each_failure_from_the_fifth_doubles_the_wait(count: int, seconds: int) -> None:
    counted = ACCOUNT_FAILURES.after(count - 1, NOW, NOW)
    assert counted == (count, NOW, NOW + timedelta(seconds=seconds))


def test_a_count_to_which_nothing_was_added_for_a_day_is_forgotten() -> None:
    assert ACCOUNT_FAILURES.after(9, NOW - timedelta(hours=23), NOW).number == 10
    assert ACCOUNT_FAILURES.after(9, NOW - timedelta(hours=24), NOW).number == 1


def test_a_burst_passes_and_then_one_in_each_pause() -> None:
    first = RATE.after(0, NOW, NOW)
    second = RATE.after(first.number, first.last_at, NOW)
    third = RATE.after(second.number, second.last_at, NOW)
    assert [first.waits_until, second.waits_until] == [NOW, NOW]
    assert third.waits_until == NOW + timedelta(seconds=10)
    fourth = RATE.after(third.number, third.last_at, third.waits_until)
    assert fourth.waits_until == NOW + timedelta(seconds=20)


@given(st.lists(st.integers(min_value=0, max_value=60), min_size=1, max_size=200))
def test_whatever_the_pauses_no_more_pass_than_the_burst_and_the_rate(pauses: list[int]) -> None:
    number, last_at, waits_until, now, passed = 0, NOW, NOW, NOW, 0
    for pause in pauses:
        now += timedelta(seconds=pause)
        if now >= waits_until:
            number, last_at, waits_until = RATE.after(number, last_at if number else now, now)
            passed += 1
    assert passed <= RATE.burst + (now - NOW) / RATE.pause


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("", ""),
    ],
)
def test_what_is_throttled_of_an_address(address: str, client: str) -> None:
    assert client_of(address) == client


@pytest.mark.parametrize(("count", "seconds"), [(1, 0), (2, 0), (3, 60), (4, 120), (8, 1920), (9, 3600), (10**9, 3600)])
def test_mails_wait_for_minutes_from_the_third(count: int, seconds: int) -> None:
    assert MAILS.wait_after(count) == timedelta(seconds=seconds)
