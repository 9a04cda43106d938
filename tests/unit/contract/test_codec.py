"""The codec: what the strict parser accepts and refuses, and that nothing is lost on the way."""

import json
import math
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.example_service import KeepSecret

from bus.contract.codec import MAX_DEPTH, MAX_DIGITS, encode, encode_fields, parse
from bus.contract.problems import Invalid
from bus.contract.validation import decode
from catalog.contract import CreateProduct

# The quadratic parser this guards against needed 200 s for such a body; a linear one needs 0.1 s.
HOSTILE_SECONDS = 5.0

REFUSED = {
    "empty": (b"", "malformed-json"),
    "blank": (b"  \n", "malformed-json"),
    "words": (b"hello", "malformed-json"),
    "single quotes": (b"{'a': 1}", "malformed-json"),
    "truncated": (b'{"a": 1', "malformed-json"),
    "truncated text": (b'{"a": "x', "malformed-json"),
    "trailing bytes": (b"{} x", "malformed-json"),
    "two documents": (b"{}{}", "malformed-json"),
    "trailing comma": (b'{"a": 1,}', "malformed-json"),
    "comment": (b"{} // no", "malformed-json"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), "malformed-json"),
    "utf-16 without a mark": ('{"a": 1}'.encode("utf-16-le"), "malformed-json"),
    "utf-32": ('{"a": 1}'.encode("utf-32"), "malformed-json"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "malformed-json"),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), "malformed-json"),
    "overlong utf-8": (b'{"a": "\xc0\xaf"}', "malformed-json"),
    "surrogate in utf-8": (b'{"a": "\xed\xa0\x80"}', "malformed-json"),
    "raw NUL in text": (b'{"a": "\x00"}', "malformed-json"),
    "raw newline in text": (b'{"a": "\n"}', "malformed-json"),
    "NaN": (b'{"a": NaN}', "malformed-json"),
    "Infinity": (b'{"a": Infinity}', "malformed-json"),
    "-Infinity": (b'{"a": -Infinity}', "malformed-json"),
    "1e999": (b'{"a": 1e999}', "malformed-json"),
    "1e-999": (b'{"a": 1e-999}', "malformed-json"),
    "an exponent beyond any decimal": (b'{"a": 1e99999999999999999999}', "malformed-json"),
    "a negative exponent beyond any decimal": (b'{"a": -1.5e-99999999999999999999}', "malformed-json"),
    "zero with an exponent beyond any decimal": (b'{"a": 0e99999999999999999999}', "malformed-json"),
    "a whole number too long": (b'{"a": ' + b"9" * (MAX_DIGITS + 1) + b"}", "malformed-json"),
    "a whole number of 100 kB": (b'{"a": ' + b"9" * 100_000 + b"}", "malformed-json"),
    "a fraction too long": (b'{"a": 0.' + b"9" * MAX_DIGITS + b"}", "malformed-json"),
    "a leading zero": (b'{"a": 012}', "malformed-json"),
    "a duplicate key": (b'{"a": 1, "a": 1}', "duplicate-key"),
    "a duplicate key, written otherwise": (b'{"a": 1, "\\u0061": 2}', "duplicate-key"),
    "a duplicate key inside": (b'{"a": {"b": 1, "b": 2}}', "duplicate-key"),
    "20,000 arrays": (b"[" * 20_000, "json-too-deep"),
    "20,000 closed arrays": (b"[" * 20_000 + b"]" * 20_000, "json-too-deep"),
    "20,000 objects": (b'{"a":' * 20_000, "json-too-deep"),
    "one level too many": (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "json-too-deep"),
    "null": (b"null", "not-an-object"),
    "a number": (b"5", "not-an-object"),
    "text": (b'"x"', "not-an-object"),
    "a list": (b"[]", "not-an-object"),
    "true": (b"true", "not-an-object"),
}


@pytest.mark.parametrize(("body", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_strict_json_object_is_refused_with_its_code(body: bytes, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(body)
    assert (refused.value.problem.status, refused.value.problem.code) == (400, code)
    encode(refused.value.problem)


def test_the_deepest_allowed_nesting_is_read() -> None:
    levels = MAX_DEPTH - 1
    assert list(parse(b'{"a":' + b"[" * levels + b"]" * levels + b"}")) == ["a"]


def test_brackets_inside_text_are_no_nesting() -> None:
    text = "[{" * 100 + '\\"' + "[{" * 100
    body = b'{"a": "' + text.encode() + b'"}'
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize("filling", [b'\\"', b"\\\\\\", b'"', b'"\\', b'\\"['])
def test_a_hostile_body_of_a_quarter_megabyte_is_read_in_linear_time(filling: bytes) -> None:
    body = b"[" * (MAX_DEPTH + 1) + b'"' + filling * (256 * 1024 // len(filling))
    started = time.thread_time()  # what others do meanwhile does not count
    with pytest.raises(Invalid):
        parse(body)
    assert time.thread_time() - started < HOSTILE_SECONDS


def test_whole_numbers_are_ints_and_others_keep_their_digits_as_decimals() -> None:
    fields = parse(b'{"a": 12, "b": 0.1000000000000000055, "c": 9.90, "d": 1e2}')
    assert fields["a"] == 12
    assert type(fields["a"]) is int
    assert [str(fields[name]) for name in "bcd"] == ["0.1000000000000000055", "9.90", "1E+2"]


def test_an_encoded_decimal_is_a_json_number_with_its_digits() -> None:
    body = encode(CreateProduct(name="Lamp", price=Decimal("9.90"), quantity=3))
    assert body == b'{"name":"Lamp","price":9.90,"quantity":3}'


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**45), max_value=10**45)
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=[]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


# What makes another document of one, or none.
_PIECES = st.sampled_from([b'"', b"{", b"[", b",", b":", rb"\ud800", rb"\u0000", b"1e999", b"NaN", b"\xff", b"\x00"])


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A document with a piece put in place of some of its bytes."""
    document = json.dumps(draw(st.dictionaries(st.text(), _values, max_size=5))).encode()
    start = draw(st.integers(0, len(document)))
    end = draw(st.integers(start, min(start + 3, len(document))))
    return document[:start] + draw(_PIECES | st.binary(max_size=4)) + document[end:]


@given(st.binary(max_size=400) | _damaged())
@example(b'{"a":1e99999999999999999999}')
@example(b"\xff\xfe{\x00}\x00")
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    fields = _parse_or_refuse(body)
    if fields is not None and not _has_lone_surrogates(fields):  # validation refuses those, and no encoder takes them
        assert parse(encode_fields(fields)) == fields


@given(st.text(alphabet='{}[]":,\\ue0123456789.+-NaInfityrsl \t\n\x00', max_size=80))
def test_text_that_is_nearly_json_is_read_or_refused(text: str) -> None:
    _parse_or_refuse(text.encode())


@given(_values, st.booleans())
def test_what_is_accepted_means_what_any_json_parser_says(value: Any, ascii_only: bool) -> None:
    body = json.dumps({"value": value}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    fields = _parse_or_refuse(body)
    if fields is not None:
        assert _same(fields, json.loads(body))


@given(
    st.decimals(min_value=0, max_value=Decimal("9999999999.99"), places=2),
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200),
    st.integers(0, 2**31 - 1),
)
def test_a_command_is_the_same_after_the_wire(price: Decimal, name: str, quantity: int) -> None:
    command = CreateProduct(name=name, price=price, quantity=quantity)
    received = decode(encode(command), CreateProduct)
    assert received == command
    assert str(received.price) == str(price)


def test_secrets_are_sent_whole() -> None:
    command = KeepSecret(word="lamp", password="hunter22")
    assert encode(command) == b'{"word":"lamp","password":"hunter22"}'


def _parse_or_refuse(body: bytes) -> dict[str, Any] | None:
    """The fields that were read; None when the body was refused with a problem that can be encoded."""
    try:
        fields = parse(body)
    except Invalid as refused:
        encode(refused.problem)
        return None
    assert _same(fields, json.loads(body))
    return fields


def _has_lone_surrogates(value: Any) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
    return isinstance(inner, list) and any(map(_has_lone_surrogates, inner))


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Decimal):
        return math.isclose(float(ours), theirs, rel_tol=1e-12, abs_tol=1e-300)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


# Each round has a class of its own, which sixteen threads use for the first time together. Without the preparation
# some process of these ends with a segmentation fault.
PROGRAM = """
import sys, threading
from typing import Annotated
import msgspec
from bus.contract.operations import Command, Reply
from bus.contract.validation import accept

sys.setswitchinterval(1e-6)

class Made(Reply):
    id: int

for number in range(200):
    class Make(Command[Made], name=f"test.make_{number}"):
        name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
        price: Annotated[int, msgspec.Meta(ge=0)]
        note: Annotated[str, msgspec.Meta(max_length=9)] | msgspec.UnsetType = msgspec.UNSET

    gate = threading.Barrier(16)

    def use():
        gate.wait()
        accept({"name": "Lamp", "price": 1}, Make)

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


def test_many_threads_at_once_may_be_the_first_to_use_a_class() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
