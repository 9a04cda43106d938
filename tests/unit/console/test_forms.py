"""Forms: whatever a contract accepts can be entered, and arrives as the same message."""

from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType, inspect

import auth.contract
import catalog.contract
from bus.console.forms import EMPTY, LEFT_OUT, NULL, filled, form_of, request_of
from bus.contract.builtin import outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.codec import encode, parse
from bus.contract.fields import MultiLine, Secret
from bus.contract.operations import Operation, Query, Reply, operations_in
from bus.contract.problems import Invalid
from bus.contract.validation import accept
from bus.http.documents.examples import example_of

OPERATIONS = [
    *operations_in(auth.contract),
    *operations_in(catalog.contract),
    *(of("catalog") for of in (ping_of, outcome_query_of, sealing_key_query_of)),
]
TEXTS = ["", " ", "x", "null", "true", "0", "[1]", '"', "a\nb", "\n", "\ta", "ä€😀", "</textarea>&amp;'\"", "-id"]
NUMBERS = [-1, 0, 1, 3, 500, 2**53 + 1, 2**63 - 1, 10**18 - 1]
DECIMALS = [Decimal("0"), Decimal("9.90"), Decimal("0.1"), Decimal("9999999999.99")]
TIMES = ["2030-01-31T12:00:00Z", "2026-11-29T00:00:00.123456+02:00"]
JSON = [[], {}, ["a"], ["a", "b"], {"a": 1, "b": "2"}, {"watts": 60.5, "is_new": True}]
POOL = [*TEXTS, *NUMBERS, *DECIMALS, *TIMES, *JSON, None, True, False, "admin", ["admin", "catalog:write"]]


class Found(Reply):
    """A reply."""


class Odd(Query[Found], name="shop.odd"):
    """What neither service has."""

    nullable: Annotated[str, Meta(max_length=9)] | None
    word: str
    pin: Annotated[str, Secret()]
    level: Literal[1, 2, None] | UnsetType = UNSET
    either: int | str | UnsetType = UNSET
    lines: Annotated[str, MultiLine()] | UnsetType | None = UNSET
    ratio: float = 0.5
    names: list[str] = []


class Login(msgspec.Struct):
    """A struct with a secret."""

    password: Annotated[str, Secret()]


class WithSecretInside(Query[Found], name="shop.with_secret_inside"):
    """Its secret is further inside."""

    login: Login
    title: str = "x"


@pytest.mark.parametrize("operation", [*OPERATIONS, Odd], ids=lambda each: each.operation_name)
@given(picked=st.data())
@settings(max_examples=25, deadline=None)
def test_what_a_contract_accepts_can_be_entered_and_arrives_as_the_same_message(
    operation: type[Operation[Any]], picked: st.DataObject
) -> None:
    fields = _acceptable(operation, picked)
    # A browser sends line breaks as CR LF.
    form = {name: text.replace("\n", "\r\n") for name, text in filled(operation, fields).items()}
    assert parse(request_of(operation, form)) == parse(encode(accept(fields, operation)))


def _acceptable(operation: type[Operation[Any]], picked: st.DataObject) -> dict[str, Any]:
    """A valid request, whose fields are of any value that the contract takes there."""
    fields = example_of(operation)
    for field in msgspec.structs.fields(operation):
        name = field.encode_name
        value = picked.draw(st.sampled_from([*POOL, *_bounds(inspect.type_info(field.type)), UNSET]), label=name)
        others = {other: given for other, given in fields.items() if other != name}
        other_request = others if value is UNSET else {**others, name: value}
        try:
            accept(other_request, operation)
        except Invalid:
            continue
        fields = other_request
    return fields


def _bounds(info: inspect.Type) -> list[object]:
    """The longest texts, and the first and the last of a number."""
    if isinstance(info, inspect.Metadata):
        return _bounds(info.type)
    if isinstance(info, inspect.UnionType):
        return [value for each in info.types for value in _bounds(each)]
    if isinstance(info, inspect.StrType):
        return ["y" * info.max_length] if info.max_length else []
    if isinstance(info, inspect.LiteralType):
        return list(info.values)
    return [bound for bound in (info.ge, info.le) if bound is not None] if isinstance(info, inspect.IntType) else []


def test_a_field_has_the_control_of_its_type() -> None:
    controls = {field.name: (field.control, field.is_required) for field in form_of(Odd)}
    assert controls == {
        "nullable": ("line", False),
        "word": ("line", False),
        "pin": ("line", False),
        "level": ("choice", False),
        "either": ("json", False),
        "lines": ("lines", False),
        "ratio": ("number", False),
        "names": ("json", False),
    }
    meanings = {field.name: field.if_empty for field in form_of(Odd)}
    assert meanings["nullable"] == (NULL, EMPTY)
    assert meanings["word"] == (EMPTY,)
    assert meanings["lines"] == (LEFT_OUT, NULL, EMPTY)
    assert [field.default for field in form_of(Odd)][-2:] == ["0.5", "[]"]


def test_what_holds_a_secret_is_one() -> None:
    assert [field.is_secret for field in form_of(WithSecretInside)] == [True, False]
    assert [field.name for field in form_of(auth.contract.ImportUsers) if field.is_secret] == ["users"]


def test_every_field_at_fault_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        request_of(catalog.contract.CreateProduct, {"field.name": "Lamp", "field.price": "9,90", "field.quantity": "x"})
    assert {error.pointer for error in refused.value.problem.errors} == {"/price", "/quantity"}
    with pytest.raises(Invalid) as refused:
        request_of(catalog.contract.ReserveLines, {"field.lines": '[{"product_id": 1,'})
    (error,) = refused.value.problem.errors
    assert (error.pointer, "This is not JSON. At character" in error.detail) == ("/lines", True)
    with pytest.raises(Invalid) as refused:
        request_of(catalog.contract.GetProduct, {})
    assert refused.value.problem.errors[0].code == "missing-field"


def test_line_breaks_of_a_browser_arrive_as_they_were_typed() -> None:
    form = {"field.word": "x", "field.pin": "1", "empty.nullable": NULL, "field.lines": "first\r\n\r\nlast"}
    assert parse(request_of(Odd, form))["lines"] == "first\n\nlast"
