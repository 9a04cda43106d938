"""Trace context: the rules of W3C Trace Context, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.messaging.trace_context import MAX_STATE, Trace, begin, continued, read

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_good_header_is_read() -> None:
    assert read(GOOD, "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7") == Trace(
        TRACE_ID, SPAN_ID, sampled=True, state="congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    )
    assert read(GOOD[:-2] + "00") == Trace(TRACE_ID, SPAN_ID, sampled=False)


def test_of_the_flags_only_that_of_sampling_is_read_and_passed_on() -> None:
    for flags, sampled in (("01", True), ("fe", False), ("ff", True)):
        found = read(GOOD[:-2] + flags)
        assert found is not None
        assert found.sampled is sampled
        assert found.traceparent[-2:] == f"0{int(sampled)}"


def test_of_a_later_version_the_part_that_is_known_is_read() -> None:
    assert read(f"01{GOOD[2:]}") == Trace(TRACE_ID, SPAN_ID)
    assert read(f"cc{GOOD[2:]}-what-the-future-will-be-like") == Trace(TRACE_ID, SPAN_ID)
    assert read(f"cc{GOOD[2:]}.what") is None


@pytest.mark.parametrize(
    "broken",
    [
        f"ff{GOOD[2:]}",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID[1:]}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}0-01",
        f"00-{TRACE_ID}-{SPAN_ID}-1",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID.upper()}-01",
        f"{GOOD}-more",
        f"{GOOD},{GOOD}",
        f" {GOOD}",
        f"{GOOD}\n",
        f"0-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID[:-1]}٣-{SPAN_ID}-01",
        "",
        None,
        7,
        GOOD.encode(),
        [GOOD],
    ],
)
def test_a_malformed_header_begins_a_new_trace(broken: object) -> None:
    assert read(broken, "congo=1") is None
    ours = continued({"traceparent": broken, "tracestate": "congo=1"})
    assert ours.trace_id != TRACE_ID
    assert (ours.parent_id, ours.state, ours.sampled) == ("", "", True)


@pytest.mark.parametrize(
    "state",
    ["a=1", "a=1,b=2", "a=1 , b=2,,", "fw529a3039@dt=FfAaA", "a*/-_=!", "a= b", ",".join(f"k{n}=v" for n in range(32))],
)
def test_a_list_of_members_is_passed_on_unchanged(state: str) -> None:
    assert continued({"traceparent": GOOD, "tracestate": state}).headers["tracestate"] == state


@pytest.mark.parametrize(
    "state",
    [
        *("a", "a=", "A=1", "a=1,a=2", "a=1=2", "a=\x7f", "a=☃", "=1", "a =1", "a=b\n", "@a=1", ""),
        ",".join(f"k{n}=v" for n in range(33)),
        f"a={'x' * MAX_STATE}",
        *(None, 7, b"a=1", ["a=1"]),
    ],
)
def test_a_malformed_list_is_dropped_and_the_trace_goes_on(state: object) -> None:
    ours = continued({"traceparent": GOOD, "tracestate": state})
    assert ours.trace_id == TRACE_ID
    assert ours.headers == {"traceparent": ours.traceparent}


def test_each_hop_has_an_id_of_its_own_and_names_the_one_before() -> None:
    first = continued({"traceparent": GOOD})
    second = first.next_hop()
    assert [first.trace_id, second.trace_id] == [TRACE_ID, TRACE_ID]
    assert [first.parent_id, second.parent_id] == [SPAN_ID, first.span_id]
    assert len({SPAN_ID, first.span_id, second.span_id}) == 3


def test_a_new_traceparent_is_valid() -> None:
    for _ in range(1000):
        ours = begin()
        assert read(ours.traceparent) == Trace(ours.trace_id, ours.span_id)


_ANYTHING = (
    st.none() | st.integers() | st.text() | st.binary() | st.lists(st.text()) | st.from_regex(r"[0-9a-f-]{50,60}")
)


@given(_ANYTHING, _ANYTHING)
def test_forged_headers_give_a_valid_hop(traceparent: object, tracestate: object) -> None:
    ours = continued({"traceparent": traceparent, "tracestate": tracestate})
    assert read(ours.traceparent, ours.state) is not None
    assert len(ours.state) <= MAX_STATE
