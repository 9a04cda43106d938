"""Fields in words."""

from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import UNSET, Meta, UnsetType

from auth.contract import Register
from bus.contract.fields import DecimalRange
from bus.contract.operations import Command, Reply
from bus.http.pages.field_words import fields_in_words
from catalog.contract import ListProducts, ProductPage


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(Reply):
    weight: float


class Odd(Command[Reply], name="odd.do"):
    exact: Annotated[Decimal, DecimalRange(places=3, ge=Decimal(0), le=Decimal(5))]
    bounded: Annotated[str, Meta(max_length=5)]
    least: Annotated[int, Meta(ge=2)]
    between: Annotated[float, Meta(gt=0, lt=1)]
    even: Annotated[int, Meta(multiple_of=2)]
    colour: Colour
    word: Literal["no", "yes"]
    some: Annotated[list[Part], Meta(min_length=1, max_length=3)]
    either: int | str | None
    any: Any
    yes: bool = True
    left: str | UnsetType = UNSET
    made: list[int] = msgspec.field(default_factory=lambda: [1])


WORDS = {
    "exact": "number, 0 to 5, at most 3 digits after the decimal point",
    "bounded": "text, at most 5 characters",
    "least": "whole number, at least 2",
    "between": "number, more than 0, less than 1",
    "even": "whole number, a multiple of 2",
    "colour": '"red" or "blue"',
    "word": '"no" or "yes"',
    "some": "list of object, 1 to 3 entries",
    "some[].weight": "number",
    "any": "any JSON",
    "yes": "true or false",
    "left": "text",
    "made": "list of whole number",
}


@pytest.mark.parametrize("name", WORDS)
def test_a_type_and_its_bounds_are_shown_in_words(name: str) -> None:
    assert {field.name: field.kind for field in fields_in_words(Odd)}[name] == WORDS[name]


def test_a_choice_of_types_names_all_of_them() -> None:
    kinds = {field.name: field.kind for field in fields_in_words(Odd)}
    assert set(kinds["either"].split(" or ")) == {"whole number", "text", "null"}


def test_a_field_that_may_be_left_out_shows_its_default() -> None:
    fields = {field.name: field for field in fields_in_words(Odd)}
    assert [name for name, field in fields.items() if not field.is_required] == ["yes", "left", "made"]
    assert (fields["yes"].default, fields["left"].default, fields["made"].default) == ("true", "", "[1]")
    assert [name for name, field in fields.items() if field.may_be_absent] == ["left"]
    defaults = {field.name: field.default for field in fields_in_words(ListProducts)}
    assert (defaults["limit"], defaults["cursor"], defaults["sort"]) == ("100", "", "")


def test_a_secret_is_marked_and_a_rule_is_shown_by_its_name() -> None:
    fields = {field.name: field for field in fields_in_words(Register)}
    assert [name for name, field in fields.items() if field.is_secret] == ["password"]
    assert fields["email"].kind == "text, 3 to 254 characters, email address"


def test_fields_inside_fields_are_shown_with_their_path() -> None:
    names = [field.name for field in fields_in_words(ProductPage)]
    assert names[:3] == ["products", "products[].id", "products[].name"]


def test_a_type_that_holds_itself_comes_to_an_end() -> None:
    class Node(Reply):
        inner: "list[Node]"

    globals()["Node"] = Node
    assert len(fields_in_words(Node)) < 10
