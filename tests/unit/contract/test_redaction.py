"""Secrecy: no text that somebody made of a request keeps its secrets."""

import json
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.example_service import KeepSecret, Kept

from bus.contract.fields import Secret
from bus.contract.operations import Command
from bus.contract.problems import FieldError, Problem
from bus.contract.redaction import cut, cut_problem, cut_trace

PASSWORD = 'it\'s "so" séc\\ret 🐴'


class Unlock(Command[Kept], name="example.unlock"):
    user: str
    codes: Annotated[dict[str, list[str | int]] | None, Secret()] = None
    pin: Annotated[int, Secret()] = 0


def _request(password: str = PASSWORD) -> KeepSecret:
    return KeepSecret(word="lamp", password=password)


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        repr(PASSWORD),
        ascii(PASSWORD),
        repr(PASSWORD.encode()),
        repr(repr(PASSWORD)),
        repr({"password": PASSWORD}),
        repr(f"Bad value: {PASSWORD!r}"),
        json.dumps(PASSWORD),
        json.dumps(PASSWORD, ensure_ascii=False),
        json.dumps({"detail": json.dumps(PASSWORD)}),
        "Key (password)=(" + PASSWORD + ") already exists.",
        "INSERT INTO words VALUES ('" + PASSWORD.replace("'", "''") + "')",
    ],
)
def test_a_secret_is_cut_however_it_is_written(text: str) -> None:
    left = cut(f"before {text} after", _request())
    assert left.startswith("before ")
    assert left.endswith(" after")
    assert "[secret]" in left
    assert "ret" not in left.replace("[secret]", "")
    assert "so" not in left.replace("[secret]", "")


def test_what_is_not_secret_stays() -> None:
    assert cut("lamp: it is", _request()) == "lamp: it is"


def test_numbers_and_what_is_inside_a_secret_are_cut_too() -> None:
    request = Unlock(user="ann", codes={"front": ["hunter22", 4711]}, pin=9923)
    assert cut("ann front hunter22 4711 9923", request) == "ann [secret] [secret] [secret] [secret]"


def test_a_secret_that_was_not_given_or_is_empty_cuts_nothing() -> None:
    assert cut("None of it", Unlock(user="ann", pin=7)) == "None of it"
    assert cut("Nothing", _request("")) == "Nothing"


def test_the_longer_of_two_secrets_leaves_no_rest() -> None:
    request = Unlock(user="ann", codes={"abc": ["abcdef"]})
    assert cut("abcdef abc", request) == "[secret] [secret]"


def test_a_trace_and_all_its_causes_are_cut() -> None:
    def fail() -> None:
        try:
            raise ValueError(f"bad: {PASSWORD!r}")
        except ValueError as error:
            raise RuntimeError(PASSWORD) from error

    with pytest.raises(RuntimeError) as raised:
        fail()
    trace = cut_trace(raised.value, _request())
    assert "ValueError: bad: " in trace
    assert "RuntimeError: [secret]" in trace
    assert trace.count("[secret]") == 2
    assert "🐴" not in trace


def test_the_details_of_a_problem_are_cut() -> None:
    problem = Problem.of("x", 409, "No", f"Not {PASSWORD}", [FieldError("/password", PASSWORD, "x")])
    left = cut_problem(problem, _request())
    assert (left.detail, left.errors[0].detail, left.title) == ("Not [secret]", "[secret]", "No")


@given(st.text(alphabet="ab'\"\\é\n 🐴\x00", min_size=1, max_size=12))
def test_no_quoting_hides_a_secret(secret: str) -> None:
    for text in (repr(secret), ascii(secret), json.dumps(secret), repr([secret, "'\""]), repr(repr(secret))):
        assert cut(text, _request(secret)) != text
