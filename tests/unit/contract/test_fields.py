"""Rules for fields."""

from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from bus.contract.fields import (
    DecimalRange,
    RuleViolation,
    Secret,
    holds_secrets,
    holds_secrets_inside,
    rules_of,
    secrets_of,
)
from bus.contract.operations import Command, Reply

CENTS = DecimalRange(places=2, ge=Decimal("-1"), le=Decimal("9999999999.99"))


class Done(Reply):
    done: bool


class Pay(Command[Done], name="shop.pay"):
    amount: Annotated[Decimal, CENTS]
    pin: Annotated[str, Meta(min_length=4), Secret()]
    tip: Annotated[Decimal, CENTS] | UnsetType = UNSET
    old_pin: Annotated[str, Secret()] | None = None
    note: str = ""


@pytest.mark.parametrize(
    "value", [0, 1, -1, Decimal("0.1"), Decimal("0.10"), Decimal("0.100"), Decimal("1E+2"), Decimal("9999999999.99")]
)
def test_an_amount_in_range_with_few_enough_places_is_taken(value: Any) -> None:
    CENTS.check(value)


@pytest.mark.parametrize(
    "value",
    [Decimal("-1.01"), 10**10, 10**39, Decimal("0.001"), Decimal("1E-40"), Decimal("9999999999.991"), Decimal("1E+40")],
)
def test_an_amount_out_of_range_or_with_too_many_places_is_not(value: Any) -> None:
    with pytest.raises(RuleViolation) as broken:
        CENTS.check(value)
    assert broken.value.code == "out-of-range"


def test_text_is_no_amount() -> None:
    with pytest.raises(RuleViolation) as broken:
        CENTS.check("1.00")
    assert broken.value.code == "wrong-type"


@given(st.integers(-(10**15), 10**15), st.integers(0, 6))
def test_an_amount_is_taken_exactly_when_it_is_a_whole_number_of_cents_in_range(digits: int, places: int) -> None:
    value = Decimal(digits).scaleb(-places)
    fits = -100 <= value * 100 <= 999999999999 and (value * 100) % 1 == 0
    try:
        CENTS.check(value)
    except RuleViolation:
        assert not fits
    else:
        assert fits


def test_rules_are_found_also_inside_a_union() -> None:
    assert {field.name: field.rules for field in rules_of(Pay)} == {"amount": (CENTS,), "tip": (CENTS,)}


def test_secrets_are_found_also_inside_a_union() -> None:
    assert secrets_of(Pay) == {"pin", "old_pin"}


class Leaf(msgspec.Struct):
    code: Annotated[str, Secret()]


class Tree(msgspec.Struct):
    leaves: dict[str, list[Leaf]]
    parent: "Tree | None" = None


class Stone(msgspec.Struct):
    weight: int
    beside: "Stone | None" = None


def test_a_secret_is_found_inside_and_in_a_class_that_names_itself() -> None:
    assert holds_secrets(Leaf)
    assert holds_secrets(Tree)
    assert not holds_secrets(Stone)


def test_a_secret_of_its_own_is_not_one_inside() -> None:
    assert not holds_secrets_inside(Leaf)
    assert holds_secrets_inside(Tree)
