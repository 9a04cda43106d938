"""Preferences: what an HTTP client asks for, in every spelling that RFC 7240 allows."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.http.preferences import MAX_WAIT_SECONDS, Preferences, preferences_of

NOTHING = Preferences()
ASYNC = Preferences(respond_async=True)
BOTH = Preferences(respond_async=True, wait_seconds=5)


def _wait(seconds: int) -> Preferences:
    return Preferences(wait_seconds=seconds)


@pytest.mark.parametrize(
    ("header", "preferences"),
    [
        ("respond-async", ASYNC),
        ("Respond-ASYNC", ASYNC),
        ('respond-async=""', ASYNC),
        ("respond-async; because=busy; ; x", ASYNC),
        ("wait=5", _wait(5)),
        ("WAIT = 5", _wait(5)),
        ("\twait\t=\t5\t", _wait(5)),
        ('wait="5"', _wait(5)),
        ('wait="\\5"', _wait(5)),
        ("wait=5;x=y", _wait(5)),
        ('wait=5; x="a;b, wait=7"', _wait(5)),
        ("wait=0", _wait(0)),
        ("wait=007", _wait(7)),
        ("respond-async, wait=5", BOTH),
        ("wait=5,respond-async", BOTH),
        (",, wait=5 , ,respond-async,", BOTH),
        ("return=minimal, wait=5, handling=lenient, respond-async", BOTH),
    ],
)
def test_what_is_well_formed_is_understood(header: str, preferences: Preferences) -> None:
    assert preferences_of(header) == preferences


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",",
        ";",
        "return=minimal",
        "respond_async",
        "respond-async=yes",
        "respond async",
        "x; respond-async",
        "x; wait=5",
        'x="respond-async, wait=5"',
        "wait",
        "wait=",
        'wait=""',
        "wait=soon",
        "wait=-1",
        "wait=1.5",
        "wait=+5",
        "wait=1e1",
        "wait=5s",
        "wait=5 6",
        'wait="5',
        'wait=" 5"',
        '"wait=5"',
        '"respond-async"',
        "wait=\u0665",
        "wait==5",
    ],
)
def test_what_is_unknown_or_malformed_is_ignored(header: str) -> None:
    assert preferences_of(header) == NOTHING


def test_something_malformed_does_not_take_its_neighbours_with_it() -> None:
    assert preferences_of('@@@, respond-async, "x", wait=5, y="open') == BOTH


@pytest.mark.parametrize(
    ("header", "preferences"),
    [("wait=5, wait=7", _wait(5)), ("wait=x, wait=7", NOTHING), ("respond-async=no, respond-async", NOTHING)],
)
def test_of_a_name_that_comes_twice_the_first_counts(header: str, preferences: Preferences) -> None:
    assert preferences_of(header) == preferences


@pytest.mark.parametrize("seconds", ["30", "31", "100", "9" * 10_000, "0" * 10_000 + "30"])
def test_a_client_waits_at_most_the_longest_time(seconds: str) -> None:
    assert preferences_of(f"wait={seconds}").wait_seconds == MAX_WAIT_SECONDS


@given(st.integers(min_value=0, max_value=10**12), st.sampled_from(["wait", "Wait", "WAIT"]))
def test_any_number_of_seconds_is_kept_within_bounds(seconds: int, name: str) -> None:
    assert preferences_of(f"{name}={seconds}") == _wait(min(seconds, MAX_WAIT_SECONDS))


@given(st.text(alphabet='ab=;,"\\ \t05-', max_size=40), st.text(max_size=40))
def test_no_header_is_an_error(likely: str, anything: str) -> None:
    for header in (likely, anything, f"wait={likely}", f"respond-async;{likely}"):
        wait = preferences_of(header).wait_seconds
        assert wait is None or 0 <= wait <= MAX_WAIT_SECONDS


@given(st.lists(st.sampled_from(["x", "y=1", 'z="a,b"; c', "@", "", "return=minimal"]), max_size=6))
def test_other_preferences_change_nothing(others: list[str]) -> None:
    assert preferences_of(", ".join([*others, "respond-async", *others, "wait=5", *others])) == BOTH


@pytest.mark.parametrize(
    "header",
    [
        '"' * 60_000,
        "a;" * 30_000,
        "a; " * 20_000 + "@",
        "a" + ";  " * 20_000 + "@",
        "a" + " \t; \t" * 12_000 + "@",
        "a" + ";b= " * 15_000 + "@",
        'a="' + "\\" * 60_000,
        "wait" + " " * 60_000 + "@",
    ],
    ids=lambda header: header[:6],
)
def test_a_header_made_to_be_slow_is_read_in_linear_time(header: str) -> None:
    started = time.thread_time()  # what others do meanwhile does not count
    assert preferences_of(header) == NOTHING
    assert time.thread_time() - started < 1.0


@pytest.mark.parametrize(
    ("preferences", "accepted", "applied"),
    [
        (NOTHING, True, ""),
        (ASYNC, True, "respond-async"),
        (ASYNC, False, ""),
        (_wait(5), True, "wait=5"),
        (_wait(0), False, "wait=0"),
        (BOTH, True, "respond-async, wait=5"),
        (BOTH, False, "wait=5"),
    ],
)
def test_only_preferences_that_were_followed_are_reported(
    preferences: Preferences, accepted: bool, applied: str
) -> None:
    assert preferences.applied_to(accepted=accepted) == applied


@pytest.mark.parametrize(
    ("preferences", "command", "query"), [(NOTHING, 7.0, 7.0), (ASYNC, 0.0, 7.0), (_wait(3), 3, 3), (BOTH, 5, 5)]
)
def test_the_client_decides_how_long_to_wait(preferences: Preferences, command: float, query: float) -> None:
    assert preferences.wait(7.0, is_durable=True) == command
    assert preferences.wait(7.0, is_durable=False) == query
