"""`bus call`: the fields of a request, as a command line gives them."""

import io
from typing import Any

import click
import pytest
from orders.contract import PlaceOrder

from bus.cli.call import _request
from bus.contract.codec import encode

LINES = b'{"lines":[{"product_id":1,"quantity":2}]}'


@pytest.mark.parametrize(
    "fields",
    [
        ('lines=[{"product_id": 1, "quantity": 2}]',),
        ('lines=[{"product_id":1,"quantity":2.0}]',),
        (LINES.decode(),),
    ],
)
def test_a_list_is_given_as_json(fields: tuple[str, ...]) -> None:
    assert encode(_request(PlaceOrder, fields)) == LINES


def test_a_dash_is_an_object_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(LINES.decode()))
    assert encode(_request(PlaceOrder, ("-",))) == LINES


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("[{product_id:1}]", "lines: this is not JSON"),
        ('[], "lines": []', "lines: this is not JSON"),
        ('[], "more": 1', "lines: this is not JSON"),
        ("[", "lines: this is not JSON"),
        ("lamp", "lines: Expected"),
        ("{}", "lines: Expected"),
        ('[{"product_id": "one", "quantity": 2}]', "lines/0/product_id: Expected"),
    ],
)
def test_a_mistake_in_a_list_names_its_field(value: Any, expected: str) -> None:
    with pytest.raises(click.UsageError, match=expected):
        _request(PlaceOrder, (f"lines={value}",))
