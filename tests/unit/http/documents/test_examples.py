"""Examples: the service accepts each example of a request."""

import types
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from feed import contract as feed
from msgspec import UNSET, Meta, UnsetType

from auth import contract as auth
from auth.contract import Register, UserRegistered
from bus.contract.builtin import outcome_query_of, ping_of, sealing_key_query_of
from bus.contract.codec import encode_fields, prepare
from bus.contract.events import events_in
from bus.contract.fields import DecimalRange, Secret
from bus.contract.operations import Command, Operation, Reply, operations_in
from bus.contract.validation import accept
from bus.http.documents.examples import example_of
from catalog import contract as catalog
from catalog.contract import CreateProduct, GetProduct, ListProducts, ProductChanged, UpdateProduct

CONTRACTS = (auth, catalog, feed)
OPERATIONS = [
    *(operation for contract in CONTRACTS for operation in operations_in(contract)),
    *(ping_of("auth"), outcome_query_of("auth"), sealing_key_query_of("auth")),
]
REPLIES = dict.fromkeys(operation.reply_type for operation in OPERATIONS)
ANSWERS = [*REPLIES, *(e for each in CONTRACTS for e in events_in(each))]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(msgspec.Struct):
    width: Annotated[int, Meta(ge=10)]


class Tree(Reply):
    inside: "Tree | None"
    also: "list[Tree]"


class Odd(Command[Reply], name="test.odd"):
    """All the shapes that fields have."""

    colour: Colour
    kind: Literal["small", "large"]
    size: Size
    sizes: Annotated[list[Size], Meta(min_length=2)]
    names: list[Annotated[str, Meta(examples=["a name"])]]
    share: Annotated[Decimal, DecimalRange(places=2, ge=Decimal(-5), le=Decimal("-0.50"))]
    when: datetime
    id: UUID
    dozens: Annotated[int, Meta(ge=13, le=30, multiple_of=12)]
    below: Annotated[int, Meta(lt=-3)]
    long: Annotated[str, Meta(min_length=7)]
    short: Annotated[str, Meta(max_length=2)]
    rate: float
    flag: bool
    secret: Annotated[str, Secret()]
    either: int | None
    maybe: int | UnsetType = UNSET
    shown: Annotated[int, Meta(examples=[5])] | UnsetType = UNSET
    usual: int = 4
    list_of: list[int] = msgspec.field(default_factory=list)
    renamed: int = msgspec.field(name="named-so", default=2)


@pytest.mark.parametrize("operation", [*OPERATIONS, Odd], ids=lambda each: each.operation_name)
def test_an_example_of_a_request_is_acceptable(operation: type[Operation[Any]]) -> None:
    accept(example_of(operation), operation)


@pytest.mark.parametrize("declared", ANSWERS, ids=lambda each: each.__name__)
def test_an_example_of_an_answer_or_event_is_one(declared: type[msgspec.Struct]) -> None:
    prepare(declared)
    msgspec.json.decode(encode_fields(example_of(declared)), type=declared)


def test_the_examples_of_our_services_are_what_the_documents_show() -> None:
    password = "correct horse battery staple"
    assert example_of(Register) == {"username": "ada", "email": "ada@example.org", "password": password}
    assert example_of(CreateProduct) == {"name": "Lamp", "price": Decimal("9.90"), "quantity": 3}
    assert example_of(GetProduct) == {"product_id": 1}
    assert example_of(ListProducts) == {"limit": 100}
    assert example_of(UpdateProduct) == {"product_id": 1, **example_of(CreateProduct)}
    assert example_of(UserRegistered)["user"] == {"id": 1, "username": "ada", "email": "ada@example.org"}
    assert example_of(ProductChanged) == {"id": 1, **example_of(CreateProduct), "available": 3, "version": 1}


def test_amounts_keep_both_digits() -> None:
    assert encode_fields(example_of(CreateProduct)) == b'{"name":"Lamp","price":9.90,"quantity":3}'


def test_required_fields_are_there_and_optional_ones_that_have_an_example_or_a_default() -> None:
    example = example_of(Odd)
    assert "maybe" not in example
    assert (example["shown"], example["usual"], example["list_of"], example["named-so"]) == (5, 4, [], 2)


def test_values_keep_to_the_bounds() -> None:
    example = example_of(Odd)
    assert (example["dozens"], example["below"], example["share"]) == (24, -4, Decimal("-0.50"))
    assert (len(str(example["long"])), len(str(example["short"]))) == (7, 2)
    assert example["names"] == ["a name"]
    assert example["sizes"] == [{"width": 10}, {"width": 10}]


def test_a_class_that_holds_itself_has_an_example_too() -> None:
    msgspec.json.decode(encode_fields(example_of(Tree)), type=Tree)


@pytest.mark.parametrize("hint", [Annotated[str, Meta(pattern="^[0-9]+$")], Annotated[bytes, Meta(min_length=9)]])
def test_a_field_that_only_its_author_knows_an_example_of_is_a_type_error(hint: Any) -> None:
    declared = types.new_class("Asked", (Reply,), {}, lambda body: body.update({"__annotations__": {"word": hint}}))
    with pytest.raises(TypeError, match="Asked: give word an example"):
        example_of(declared)
