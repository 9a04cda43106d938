"""The codec: what the strict parser takes, what it refuses, and that nothing is lost on the way."""

import json
import math
import time
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.contract.codec import MAX_DEPTH, MAX_DIGITS, encode, encode_without_secrets, parse
from bus.contract.fields import Secret
from bus.contract.operations import Command, Reply
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


@given(st.binary(max_size=400))
@example(b'{"a":1e99999999999999999999}')
@example(b"\xff\xfe{\x00}\x00")
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    _parse_or_refuse(body)


@given(st.text(alphabet='{}[]":,\\ue0123456789.+-NaInfityrsl \t\n\x00', max_size=80))
def test_text_that_is_nearly_json_is_read_or_refused(text: str) -> None:
    _parse_or_refuse(text.encode())


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**45), max_value=10**45)
    | st.floats()
    | st.text(st.characters(codec=None, exclude_categories=[]), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


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


class Done(Reply):
    done: bool


class Change(Command[Done], name="example.change"):
    password: Annotated[str, Secret()]
    old: Annotated[str, Secret()] | None = None
    nick: str | msgspec.UnsetType = msgspec.UNSET


def test_secrets_are_cut_from_what_is_kept_and_nothing_else_is() -> None:
    kept = json.loads(encode_without_secrets(Change(password="hunter22", old="hunter11", nick="ann")))
    assert kept == {"password": "[secret]", "old": "[secret]", "nick": "ann"}


def test_a_request_with_a_secret_may_leave_optional_fields_unset() -> None:
    assert json.loads(encode_without_secrets(Change(password="hunter22"))).get("nick") is None


def test_secrets_are_sent_whole() -> None:
    assert b"hunter22" in encode(Change(password="hunter22"))


def _parse_or_refuse(body: bytes) -> dict[str, Any] | None:
    """What was read; None when it was refused, as a problem that can be told."""
    try:
        fields = parse(body)
    except Invalid as refused:
        encode(refused.problem)
        return None
    assert _same(fields, json.loads(body))
    return fields


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Decimal):
        return math.isclose(float(ours), theirs, rel_tol=1e-12, abs_tol=1e-300)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[name], theirs[name]) for name in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


class Token(Reply):
    kind: str
    value: Annotated[str, Secret()]
    expires: Annotated[int, Secret()] | None = None


class LoggedIn(Reply, rename="camel"):
    the_tokens: list[Token]
    by_name: dict[str, Token | None]
    newest: Token | None = None
    user: str = "ann"


def test_secrets_are_cut_from_replies_however_deep_they_stand() -> None:
    token = Token(kind="access", value="hunter22", expires=17)
    reply = LoggedIn(the_tokens=[token], by_name={"a": token, "b": None}, newest=token)
    cut = {"kind": "access", "value": "[secret]", "expires": "[secret]"}
    assert json.loads(encode_without_secrets(reply)) == {
        "theTokens": [cut],
        "byName": {"a": cut, "b": None},
        "newest": cut,
        "user": "ann",
    }


def test_a_reply_is_whole_after_its_secrets_were_cut_from_the_copy() -> None:
    reply = LoggedIn(the_tokens=[Token(kind="access", value="hunter22")], by_name={})
    encode_without_secrets(reply)
    assert reply.the_tokens[0].value == "hunter22"
