"""Literals of other languages. Their own interpreters run them in `tests/integration/test_publishers.py`."""

import ast
import json
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from bus.http.pages import literals

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | TEXT
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)


@given(VALUES)
def test_a_literal_of_python_is_the_value(value: literals.JsonValue) -> None:
    assert ast.literal_eval(literals.python(value)) == value


@given(VALUES)
def test_json_in_quotes_has_no_such_quote_inside_and_is_the_value(value: literals.JsonValue) -> None:
    for quoted, quote in ((literals.shell(value), "'"), (literals.go(value), "`")):
        assert (quoted[0], quoted[-1]) == (quote, quote)
        assert quote not in quoted[1:-1]
        assert json.loads(quoted[1:-1]) == value


@given(TEXT)
def test_a_literal_has_no_invisible_characters(text: str) -> None:
    for write in (literals.python, literals.javascript, literals.go, literals.shell):
        assert write(text).isprintable()


def test_a_number_keeps_its_digits() -> None:
    for write in (literals.python, literals.javascript):
        assert write(Decimal("9.90")) == "9.90"
        assert write(Decimal("1E+3")) == "1000"


def test_what_is_wide_has_a_line_for_each_field() -> None:
    wide: literals.JsonValue = {"one": "x" * 50, "two": "y" * 50}
    assert literals.python(wide).count("\n") == literals.shell(wide).count("\n") == 3
    assert json.loads(literals.shell(wide)[1:-1]) == wide
    assert literals.python({"one": 1}) == '{"one": 1}'


def test_javascript_has_bare_names_where_it_may() -> None:
    assert literals.javascript({"name": 1, "other name": {}}) == '{ name: 1, "other name": {} }'
