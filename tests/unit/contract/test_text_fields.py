"""Fields as text, as a URL or a command line gives them."""

from decimal import Decimal

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from bus import Command, Query, Reply
from bus.contract.problems import Invalid
from bus.contract.text_fields import from_text, structured_fields
from bus.contract.validation import accept
from catalog.contract import CreateProduct, UpdateProduct


def test_numbers_are_read_where_the_contract_has_numbers() -> None:
    fields = from_text({"name": "7", "price": "9.90", "quantity": "3"}, CreateProduct)
    command = accept(fields, CreateProduct)
    assert (command.name, command.price, command.quantity) == ("7", Decimal("9.90"), 3)


def test_a_field_that_may_be_left_out_is_read_too() -> None:
    command = accept(from_text({"product_id": "1", "price": "2"}, UpdateProduct), UpdateProduct)
    assert command.price == 2


@pytest.mark.parametrize("price", ["cheap", "1e3", "", " 1", "0x10", "9" * 50, "\u0661"])
def test_what_is_no_plain_number_stays_text_and_is_refused(price: str) -> None:
    with pytest.raises(Invalid) as refused:
        accept(from_text({"name": "Lamp", "price": price, "quantity": "3"}, CreateProduct), CreateProduct)
    assert refused.value.problem.errors[0].pointer == "/price"


class ListLoans(Query[Reply], name="shelf.list_loans"):
    overdue: bool | UnsetType = UNSET


def test_booleans_are_read_as_json_writes_them() -> None:
    assert accept(from_text({"overdue": "true"}, ListLoans), ListLoans).overdue is True
    assert accept(from_text({"overdue": "false"}, ListLoans), ListLoans).overdue is False
    for text in ("True", "1", "yes", ""):
        with pytest.raises(Invalid):
            accept(from_text({"overdue": text}, ListLoans), ListLoans)


class Line(msgspec.Struct, frozen=True):
    product_id: int


class Pack(Command[Reply], name="shelf.pack"):
    lines: list[Line]
    box: Line | None = None
    labels: dict[str, str] | UnsetType = UNSET
    note: str = ""
    mixed: str | list[str] = ""


def test_the_fields_that_have_a_list_or_an_object_are_known() -> None:
    assert structured_fields(Pack) == {"lines", "box", "labels"}
