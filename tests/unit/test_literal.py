"""Literals of other languages. The interpreters themselves judge them in `tests/integration/test_publishers.py`."""

import ast
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bus.publishers import literal

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)


@given(VALUES)
def test_a_literal_of_python_is_the_value(value: literal.JsonValue) -> None:
    assert ast.literal_eval(literal.python(value)) == value


@given(VALUES)
def test_json_in_quotes_has_no_such_quote_inside_and_is_the_value(value: literal.JsonValue) -> None:
    for quoted, quote in ((literal.shell(value), "'"), (literal.go(value), "`")):
        assert (quoted[0], quoted[-1]) == (quote, quote)
        assert quote not in quoted[1:-1]
        assert json.loads(quoted[1:-1]) == value


@given(TEXT)
def test_a_literal_has_nothing_that_cannot_be_seen(text: str) -> None:
    for write in (literal.python, literal.javascript, literal.go, literal.shell):
        assert write(text).isprintable()


def test_a_number_keeps_its_digits() -> None:
    for write in (literal.python, literal.javascript):
        assert write(Decimal("9.90")) == "9.90"
        assert write(Decimal("1E+3")) == "1000"


def test_what_is_wide_has_a_line_for_each_field() -> None:
    wide: literal.JsonValue = {"one": "x" * 50, "two": "y" * 50}
    assert literal.python(wide).count("\n") == literal.shell(wide).count("\n") == 3
    assert json.loads(literal.shell(wide)[1:-1]) == wide
    assert literal.python({"one": 1}) == '{"one": 1}'


def test_javascript_has_bare_names_where_it_may() -> None:
    assert literal.javascript({"name": 1, "other name": {}}) == '{ name: 1, "other name": {} }'
