"""Properties of the strict parser: what it takes, any JSON parser takes, and reads alike."""

import json
import math
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bus.contract.codec import encode_fields, parse
from bus.contract.problems import Invalid

NUMBERS = st.integers(-(10**38), 10**38) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
DOCUMENTS = st.dictionaries(st.text(), VALUES, max_size=5).map(lambda value: json.dumps(value).encode())
# What makes JSON another document, or none.
PIECES = st.sampled_from(
    [b'"', b"{", b"}", b"[", b",", b":", b"\\ud800", b"\\u0000", b"1e999", b"NaN", b"\xff", b"\x00"]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a piece put in place of some of its bytes."""
    document = draw(DOCUMENTS)
    start = draw(st.integers(0, len(document)))
    end = draw(st.integers(start, min(start + 3, len(document))))
    return document[:start] + draw(PIECES | st.binary(max_size=4)) + document[end:]


BODIES = st.binary(max_size=300) | DOCUMENTS | damaged()


@given(BODIES)
def test_any_bytes_are_read_or_invalid(body: bytes) -> None:
    fields = _fields_of(body)
    assert fields is None or type(fields) is dict


@given(BODIES)
def test_what_is_read_any_reader_of_json_reads_alike(body: bytes) -> None:
    fields = _fields_of(body)
    if fields is not None:
        assert _alike(fields, json.loads(body.decode("utf-8")))


@given(BODIES)
def test_what_is_read_can_be_written_and_read_again(body: bytes) -> None:
    fields = _fields_of(body)
    if fields is not None and _is_text(fields):
        assert parse(encode_fields(fields)) == fields


def _fields_of(body: bytes) -> dict[str, Any] | None:
    try:
        return parse(body)
    except Invalid:
        return None


def _is_text(value: Any) -> bool:
    """Whether there is no lone surrogate in it: validation refuses those, and no encoder takes them."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_is_text(name) and _is_text(inner) for name, inner in value.items())
    return all(map(_is_text, value)) if isinstance(value, list) else True


def _alike(ours: Any, theirs: Any) -> bool:
    """The same values, where a binary float stands for the decimal next to it."""
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_alike(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(ours, Decimal):
        return isinstance(theirs, float) and math.isclose(float(ours), theirs)
    return type(ours) is type(theirs) and bool(ours == theirs)
