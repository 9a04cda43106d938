"""Validation: every fault of a body is reported with its field and its code, and no secret is repeated."""

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from auth.contract import Register
from bus.contract.codec import encode
from bus.contract.fields import DecimalRange, MultiLine
from bus.contract.one_of import OneOf
from bus.contract.operations import Command, Operation, Query, Reply
from bus.contract.problems import Invalid
from bus.contract.text_fields import from_text
from bus.contract.validation import accept, decode, decode_event
from catalog.contract import CreateProduct, ListProducts, ProductChanged, UpdateProduct

LAMP = {"name": "Lamp", "price": 9.9, "quantity": 3}
ANN = {"username": "ann", "email": "ann@example.com", "password": "correct horse"}


class Noted(Reply):
    noted: bool


class Note(Command[Noted], name="example.note"):
    labels: dict[str, str] = {}
    lines: list[str] = []


class Verse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, MultiLine()] | UnsetType = UNSET
    title: str = ""


class Sing(Command[Noted], name="example.sing"):
    poem: Annotated[str, Meta(max_length=20), MultiLine()] | UnsetType | None = UNSET
    name: str = ""
    verses: list[Verse] = []
    others: dict[str, Verse] = {}


class Move(Query[Noted], name="example.move"):
    start: int
    end: int

    def violations(self) -> Any:
        from bus.contract.problems import FieldError

        if self.end < self.start:
            yield FieldError("/end", "The end is before the start.", "out-of-order")


# (what is changed in a good product, the status, the faults)
FAULTS: dict[str, tuple[dict[str, Any], int, list[tuple[str, str]]]] = {
    "true for a whole number": ({"quantity": True}, 422, [("/quantity", "wrong-type")]),
    "true for an amount": ({"price": True}, 422, [("/price", "wrong-type")]),
    "text for a whole number": ({"quantity": "12"}, 422, [("/quantity", "wrong-type")]),
    "text for an amount": ({"price": "12"}, 422, [("/price", "wrong-type")]),
    "text that is no number for an amount": ({"price": "cheap"}, 422, [("/price", "wrong-type")]),
    "text NaN for an amount": ({"price": "NaN"}, 422, [("/price", "wrong-type")]),
    "an empty text for an amount": ({"price": ""}, 422, [("/price", "wrong-type")]),
    "a list for text": ({"name": []}, 422, [("/name", "wrong-type")]),
    "an object for text": ({"name": {"a": "b"}}, 422, [("/name", "wrong-type")]),
    "a number for text": ({"name": 5}, 422, [("/name", "wrong-type")]),
    "null for text": ({"name": None}, 422, [("/name", "wrong-type")]),
    "null for an amount": ({"price": None}, 422, [("/price", "wrong-type")]),
    "price below zero": ({"price": -1}, 422, [("/price", "out-of-range")]),
    "price of a tenth of a cent": ({"price": 0.001}, 422, [("/price", "out-of-range")]),
    "price 10^30": ({"price": 10**30}, 422, [("/price", "out-of-range")]),
    "price 1e30": ({"price": 1e30}, 422, [("/price", "out-of-range")]),
    "price one too large": ({"price": 10**10}, 422, [("/price", "out-of-range")]),
    "quantity below zero": ({"quantity": -1}, 422, [("/quantity", "out-of-range")]),
    "quantity 2^31": ({"quantity": 2**31}, 422, [("/quantity", "out-of-range")]),
    "quantity 2^63": ({"quantity": 2**63}, 422, [("/quantity", "out-of-range")]),
    "quantity 2^64": ({"quantity": 2**64}, 422, [("/quantity", "out-of-range")]),
    "quantity of forty digits": ({"quantity": 10**39}, 422, [("/quantity", "out-of-range")]),
    "quantity below -2^63": ({"quantity": -(2**70)}, 422, [("/quantity", "out-of-range")]),
    "quantity 1.5": ({"quantity": 1.5}, 422, [("/quantity", "out-of-range")]),
    "an empty name": ({"name": ""}, 422, [("/name", "out-of-range")]),
    "a name of 201 characters": ({"name": "x" * 201}, 422, [("/name", "out-of-range")]),
    "NUL": ({"name": "a\x00b"}, 422, [("/name", "invalid-text")]),
    "escape": ({"name": "\x1b[31m"}, 422, [("/name", "invalid-text")]),
    "newline": ({"name": "a\nb"}, 422, [("/name", "invalid-text")]),
    "delete": ({"name": "\x7f"}, 422, [("/name", "invalid-text")]),
    "a C1 control": ({"name": "\x85"}, 422, [("/name", "invalid-text")]),
    "a lone surrogate": ({"name": "\ud800"}, 422, [("/name", "invalid-text")]),
    "a lone low surrogate": ({"name": "a\udfff"}, 422, [("/name", "invalid-text")]),
    "an unknown field": ({"colour": "red"}, 422, [("/colour", "unknown-field")]),
    "a privileged field": ({"id": 7}, 422, [("/id", "unknown-field")]),
    "an unknown field with a control character": ({"a\x00": 1}, 422, [("/a\ufffd", "unknown-field")]),
    "an unknown field with a surrogate": ({"\ud800": 1}, 422, [("/\ufffd", "unknown-field")]),
    "an unknown field with a slash": ({"a/b~": 1}, 422, [("/a~1b~0", "unknown-field")]),
    "several at once": (
        {"name": 5, "price": -1, "quantity": "12", "role": "admin"},
        422,
        [("/name", "wrong-type"), ("/price", "out-of-range"), ("/quantity", "wrong-type"), ("/role", "unknown-field")],
    ),
    "bad text beside another fault": (
        {"name": "a\x00", "quantity": "12"},
        422,
        [("/name", "invalid-text"), ("/quantity", "wrong-type")],
    ),
    "bad text beside a broken rule": (
        {"name": "a\x00", "price": -1},
        422,
        [("/name", "invalid-text"), ("/price", "out-of-range")],
    ),
}


@pytest.mark.parametrize(("change", "status", "faults"), FAULTS.values(), ids=FAULTS)
def test_every_fault_is_named_by_its_field_and_code(
    change: dict[str, Any], status: int, faults: list[tuple[str, str]]
) -> None:
    problem = _refusal_of(json.dumps({**LAMP, **change}).encode(), CreateProduct).problem
    assert problem.status == status
    assert sorted((error.pointer, error.code) for error in problem.errors) == faults
    assert problem.code in {code for _, code in faults}
    assert problem.detail
    encode(problem)


def test_missing_fields_are_all_named_and_make_a_400() -> None:
    problem = _refusal_of(b'{"name": "Lamp", "colour": "red"}', CreateProduct).problem
    assert (problem.status, problem.code) == (400, "missing-field")
    assert problem.detail == "Missing: price, quantity."
    assert {(error.pointer, error.code) for error in problem.errors} == {
        ("/price", "missing-field"),
        ("/quantity", "missing-field"),
        ("/colour", "unknown-field"),
    }


@pytest.mark.parametrize(
    "name",
    [
        "'; DROP TABLE products; --",
        "{{7*7}}",
        "<script>alert(1)</script>",
        "${jndi:ldap://x}",
        "日本語 ☂ 👩‍👩‍👧",
        "x" * 200,
    ],
)
def test_text_is_taken_verbatim_whatever_it_means_elsewhere(name: str) -> None:
    assert decode(json.dumps({**LAMP, "name": name}).encode(), CreateProduct).name == name


@pytest.mark.parametrize(
    ("price", "kept"), [("0", "0"), ("9.90", "9.90"), ("9999999999.99", "9999999999.99"), ("1e1", "1E+1")]
)
def test_an_amount_in_range_keeps_its_digits(price: str, kept: str) -> None:
    body = f'{{"name": "Lamp", "price": {price}, "quantity": 0}}'
    assert str(decode(body.encode(), CreateProduct).price) == kept


def test_an_unset_field_is_no_fault_and_null_is() -> None:
    assert decode(b'{"product_id": 1}', UpdateProduct).product_id == 1
    problem = _refusal_of(b'{"product_id": 1, "price": null}', UpdateProduct).problem
    assert [(error.pointer, error.code) for error in problem.errors] == [("/price", "wrong-type")]


def test_rules_hold_inside_an_optional_field() -> None:
    problem = _refusal_of(b'{"product_id": 1, "price": 0.001}', UpdateProduct).problem
    assert [(error.pointer, error.code) for error in problem.errors] == [("/price", "out-of-range")]


def test_bad_text_is_found_in_lists_and_objects_and_their_keys() -> None:
    body = json.dumps({"lines": ["fine", "\x00"], "labels": {"a/b": "\x01", "\ud800": "fine"}}).encode()
    problem = _refusal_of(body, Note).problem
    assert {error.code for error in problem.errors} == {"invalid-text"}
    assert sorted(error.pointer for error in problem.errors) == ["/labels/a~1b", "/labels/\ufffd", "/lines/1"]
    encode(problem)


LINES = "a\r\n\tb\n"


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"poem": LINES}, []),
        ({"poem": LINES, "name": "a"}, []),
        ({"poem": LINES, "name": LINES}, ["/name"]),
        ({"poem": "a\x0b"}, ["/poem"]),
        ({"poem": f"{LINES}\x7f"}, ["/poem"]),
        ({"poem": [LINES]}, ["/poem/0"]),
        ({"verses": [{"text": LINES}, {"text": LINES, "title": LINES}]}, ["/verses/1/title"]),
        ({"others": {"a": {"text": LINES}, "b": {"title": LINES}}}, ["/others/b/title"]),
        ({"others": {LINES: {"text": LINES}}}, [f"/others/{'a' + chr(0xFFFD) * 3 + 'b' + chr(0xFFFD)}"]),
        ({"poem": LINES, "other": LINES, "name": 5}, ["/name", "/other"]),
    ],
)
def test_only_a_multi_line_text_may_have_line_breaks_and_tabs(fields: dict[str, Any], pointers: list[str]) -> None:
    if not pointers:
        assert accept(fields, Sing).poem == fields["poem"]
        return
    with pytest.raises(Invalid) as refused:
        accept(fields, Sing)
    assert [error.pointer for error in refused.value.problem.errors] == pointers


def test_violations_between_fields_are_reported_when_each_field_is_valid_alone() -> None:
    assert _refusal_of(b'{"start": 2, "end": 1}', Move).problem.code == "out-of-order"
    assert _refusal_of(b'{"start": 2, "end": "1"}', Move).problem.code == "wrong-type"
    assert decode(b'{"start": 1, "end": 2}', Move).end == 2


def test_numbers_may_come_as_text_only_from_a_url_or_a_command_line() -> None:
    assert accept(from_text({"limit": "7"}, ListProducts), ListProducts).limit == 7
    with pytest.raises(Invalid):
        accept({"limit": "7"}, ListProducts)


@pytest.mark.parametrize("text", ["3.0", "3.000", "30e-1", "0.3e1"])
def test_a_number_without_a_fraction_is_a_whole_number_however_it_is_written(text: str) -> None:
    body = f'{{"name": "Lamp", "price": 9.90, "quantity": {text}}}'.encode()
    assert encode(decode(body, CreateProduct)) == b'{"name":"Lamp","price":9.90,"quantity":3}'


def test_a_whole_number_with_a_point_is_no_fault_beside_others() -> None:
    with pytest.raises(Invalid) as refused:
        decode(b'{"name": "Lamp", "price": -1, "quantity": 3.0}', CreateProduct)
    assert [fault.pointer for fault in refused.value.problem.errors] == ["/price"]


@pytest.mark.parametrize("limit", ["0", "501", "1.5", "x", "", "9" * 30, "NaN", "true"])
def test_a_number_from_a_url_is_checked_as_well(limit: str) -> None:
    with pytest.raises(Invalid) as refused:
        accept(from_text({"limit": limit}, ListProducts), ListProducts)
    assert refused.value.problem.status == 422


WEAK = {"password": "password1", "its user name": "ann-margret", "too short": "s3cr3t!", "one character": "zzzzzzzzzz"}


@pytest.mark.parametrize("password", WEAK.values(), ids=WEAK)
@pytest.mark.parametrize("change", [{}, {"username": 5}, {"role": "admin"}, {"email": "nowhere"}], ids=str)
def test_no_problem_repeats_the_password(password: str, change: dict[str, Any]) -> None:
    body = {"username": "ann-margret", "email": "ann@example.com", "password": password, **change}
    problem = _refusal_of(json.dumps(body).encode(), Register).problem
    assert problem.status == 422
    # The user name is no secret, but as a password it is.
    assert password.encode() not in encode(problem).replace(b"password", b"")


@pytest.mark.parametrize(
    "password", [5, ["correct horse"], {"correct horse": 1}, "correct\x00horse", "correct horse" * 100]
)
def test_a_password_of_the_wrong_kind_is_not_repeated_either(password: Any) -> None:
    problem = _refusal_of(json.dumps({**ANN, "password": password}).encode(), Register).problem
    assert problem.errors[0].pointer.startswith("/password")
    assert b"correct" not in encode(problem)


@pytest.mark.parametrize("password", ["x y" * 40 + "12345678", "🦄🐙🦑🐡🐠🐟🐬🐳", "   leading and trailing   "])
def test_a_long_strange_password_is_taken_whole(password: str) -> None:
    assert decode(json.dumps({**ANN, "password": password}).encode(), Register).password == password


@pytest.mark.parametrize("email", ["x", "a@b", "@example.com", "a b@example.com", "a@@example.com", "a@example..com"])
def test_text_that_is_not_an_email_address_is_refused(email: str) -> None:
    problem = _refusal_of(json.dumps({**ANN, "email": email}).encode(), Register).problem
    assert {error.pointer for error in problem.errors} == {"/email"}


_any_text = st.text(st.characters(codec=None, exclude_categories=[]), max_size=30)
_any_value = st.none() | st.booleans() | st.integers() | st.floats() | _any_text | st.lists(_any_text, max_size=2)


@given(st.dictionaries(st.sampled_from(["username", "email", "password"]) | _any_text, _any_value, max_size=5))
@example({**ANN, "email": "a@\ud800.com"})
@example({**ANN, "email": "a@xn--é.com"})
def test_any_object_is_a_registration_or_refused_with_a_problem_that_can_be_encoded(fields: dict[str, Any]) -> None:
    _accept_or_refuse(fields, Register)


@given(_any_text, _any_text.map(lambda text: f"{text[:20]}@example.com"), _any_text)
def test_any_text_is_a_registration_or_refused(username: str, email: str, password: str) -> None:
    _accept_or_refuse({"username": username, "email": email, "password": password}, Register)


@given(st.fixed_dictionaries({"name": _any_value, "price": _any_value, "quantity": _any_value}))
def test_any_object_is_a_product_or_refused(fields: dict[str, Any]) -> None:
    _accept_or_refuse(fields, CreateProduct)


@given(st.dictionaries(st.sampled_from(["limit", "cursor"]), _any_text))
def test_any_query_string_is_a_page_or_refused(fields: dict[str, Any]) -> None:
    try:
        page = accept(from_text(fields, ListProducts), ListProducts)
    except Invalid as refused:
        encode(refused.problem)
    else:
        assert 1 <= page.limit <= 500


def _accept_or_refuse(fields: dict[str, Any], operation: type[Operation[Any]]) -> None:
    body = json.dumps(fields).encode()
    try:
        accepted = decode(body, operation)
    except Invalid as refused:
        problem = refused.problem
    else:
        assert decode(encode(accepted), operation) == accepted
        return
    assert problem.status == 400 or (problem.status == 422 and problem.errors)
    encode(problem)


def _refusal_of(body: bytes, operation: type[Operation[Any]]) -> Invalid:
    with pytest.raises(Invalid) as refused:
        decode(body, operation)
    return refused.value


@pytest.mark.parametrize("body", [b'{"\\ud800": 1}', b'{"\\ud800": {}, "name": "x"}', b"{", b"[]", b'{"id": "x"}'])
def test_a_body_that_is_not_an_event_is_invalid(body: bytes) -> None:
    with pytest.raises(Invalid):
        decode_event(body, ProductChanged)


class Line(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1, max_length=5)]
    count: int | None = None


class Order(Command[Noted], name="example.order"):
    lines: Annotated[list[Line], Meta(max_length=3)]
    due: datetime | UnsetType = UNSET
    state: Literal["new", "old"] = "new"


IN_WORDS: list[tuple[type[Operation[Any]], dict[str, Any], str, str]] = [
    (CreateProduct, {**LAMP, "name": 5}, "/name", "Expected text, 1 to 200 characters"),
    (CreateProduct, {**LAMP, "name": ""}, "/name", "Expected text, 1 to 200 characters"),
    (CreateProduct, {**LAMP, "quantity": "12"}, "/quantity", "Expected whole number, 0 to 2147483647."),
    (CreateProduct, {**LAMP, "price": None}, "/price", "Expected number, 0 to 9999999999.99, at most 2 digits after"),
    (Order, {"lines": [{"name": ""}]}, "/lines/0/name", "Expected text, 1 to 5 characters."),
    (Order, {"lines": [{"name": "a", "count": "1"}]}, "/lines/0/count", "Expected whole number or null."),
    (Order, {"lines": [{"name": "a"}, 5]}, "/lines/1", "Expected object."),
    (Order, {"lines": [{"name": "a", "x": 1}]}, "/lines/0/x", "This field is unknown."),
    (Order, {"lines": [{"name": "a"}] * 4}, "/lines", "Expected list of object, at most 3 entries."),
    (Order, {"lines": [], "due": "soon"}, "/due", "Expected text, a date and time (RFC 3339)."),
    (Order, {"lines": [], "state": "sold"}, "/state", 'Expected "new" or "old".'),
    (Note, {"labels": {"a/b": 5}}, "/labels/a~1b", "Expected text."),
    (Note, {"lines": [5]}, "/lines/0", "Expected text."),
]


@pytest.mark.parametrize(("operation", "fields", "pointer", "words"), IN_WORDS, ids=[row[2] for row in IN_WORDS])
def test_a_fault_is_where_it_is_and_in_the_words_of_the_page_messages(
    operation: type[Operation[Any]], fields: dict[str, Any], pointer: str, words: str
) -> None:
    problem = _refusal_of(json.dumps(fields).encode(), operation).problem
    assert [error.pointer for error in problem.errors] == [pointer]
    assert problem.errors[0].detail.startswith(words)
    assert (problem.title, problem.detail) == ("Invalid request", problem.errors[0].detail)


# Names of types and libraries, in any place of a problem.
PROGRAMMERS_WORDS = re.compile(r"`|\b(?:str|int|float|bool|dict|Decimal|None|Python|msgspec|Traceback|Error)\b")


@given(st.sampled_from([CreateProduct, Register, Order, Note, ListProducts, Move]), st.data())
def test_no_problem_speaks_of_python(operation: type[Operation[Any]], data: st.DataObject) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(operation)]
    value = st.sampled_from([None, True, 5, -1, 1.5, "", "x", [], [1], {}, {"a": 1}, [{"name": 5}], "9" * 300])
    fields = data.draw(st.dictionaries(st.sampled_from([*names, "other"]), value))
    said = ""
    try:
        decode(json.dumps(fields).encode(), operation)
    except Invalid as refused:
        said = encode(refused.problem).decode()
    assert not PROGRAMMERS_WORDS.search(said)


@pytest.mark.parametrize(
    "body", ["", "{", "{'a': 1}", '{"a": 1,}', '{"a" 1}', '{"a": "\n"}', '{"a": "\\x"}', "{} {}", "[1", "\xff"]
)
def test_no_problem_of_a_text_that_is_not_json_speaks_of_python(body: str) -> None:
    problem = _refusal_of(body.encode("latin-1"), Note).problem
    assert not PROGRAMMERS_WORDS.search(encode(problem).decode())


def test_a_decimal_comma_is_named() -> None:
    assert "point" in _refusal_of(b'{"name": "Lamp", "price": 9,90, "quantity": 1}', CreateProduct).problem.detail


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    price: Annotated[Decimal, DecimalRange(places=2, ge=Decimal(0), le=Decimal(10))]


class Kit(msgspec.Struct, frozen=True):
    parts: list[Part] = []
    by_name: dict[str, Part] = {}
    best: Part | UnsetType | None = UNSET


class Build(Command[Noted], name="example.build"):
    kit: Kit
    name: str = ""


def test_rules_inside_lists_and_objects_are_checked_where_they_are() -> None:
    good, bad = {"price": Decimal("1.5")}, {"price": Decimal("1.555")}
    accept({"kit": {"parts": [good], "by_name": {"x": good}, "best": None}}, Build)
    with pytest.raises(Invalid) as caught:
        accept({"kit": {"parts": [good, bad], "by_name": {"a/b": bad}, "best": bad}}, Build)
    expected = ["/kit/parts/1/price", "/kit/by_name/a~1b/price", "/kit/best/price"]
    assert [each.pointer for each in caught.value.problem.errors] == expected
    with pytest.raises(Invalid) as caught:  # beside a fault of another kind
        accept({"kit": {"parts": [{"price": "1"}, bad]}, "name": 3}, Build)
    assert [each.pointer for each in caught.value.problem.errors] == [
        "/kit/parts/0/price",
        "/kit/parts/1/price",
        "/name",
    ]


class Step(OneOf):
    build: Build | UnsetType = UNSET
    note: Note | UnsetType = UNSET


class Steps(Command[Noted], name="example.steps"):
    steps: list[Step]


def test_one_of_several_has_exactly_one_of_its_fields() -> None:
    note, build = {"note": {}}, {"build": {"kit": {}}}
    steps = accept({"steps": [note, build]}, Steps).steps
    assert [(each.kind, type(each.content)) for each in steps] == [("note", Note), ("build", Build)]
    for wrong in ({}, {**note, **build}):
        with pytest.raises(Invalid) as caught:
            accept({"steps": [note, wrong]}, Steps)
        (fault,) = caught.value.problem.errors
        assert (fault.pointer, fault.code) == ("/steps/1", "one-of")
        assert fault.detail == "Expected exactly one of the fields build, note."
    with pytest.raises(ValueError, match="exactly one of the fields build, note"):
        Step()
