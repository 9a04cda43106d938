"""`bus call`: the fields of a request, as a command line gives them."""

import io
from pathlib import Path
from typing import Any

import click
import pytest
from orders.contract import PlaceOrder

from auth.contract import LogIn
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


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_secret_need_not_stand_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_terminal: bool
) -> None:
    stdin = io.StringIO("from stdin\nmore\n")
    monkeypatch.setattr(stdin, "isatty", lambda: is_terminal)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("click.prompt", lambda name, *, hide_input, err: f"{name} {hide_input} {err}")
    asked = _request(LogIn, ("login=-", "password=-"))
    assert asked.password == ("password True True" if is_terminal else "from stdin")
    assert asked.login == "-"
    (tmp_path / "file").write_text("from a file\r\n")
    assert _request(LogIn, ("login=@a", f"password=@{tmp_path}/file")).password == "from a file"
    with pytest.raises(click.UsageError, match=r"password: the file after '@' cannot be read: No such file"):
        _request(LogIn, ("login=a", "password=@/none"))


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
