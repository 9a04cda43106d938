"""Redaction: secret fields are replaced, and of an operation with secrets no free text is kept."""

import json
import re
from collections.abc import Iterator
from typing import Annotated

import pytest
from support.example_service import Keep, KeepSecret, Kept

from bus.contract.events import Event
from bus.contract.fields import Secret
from bus.contract.operations import Command, Reply
from bus.contract.problems import FieldError
from bus.contract.redaction import TEXT_DROPPED, encode_without_secrets, error_text, error_traceback, refusal_problem
from bus.contract.refusals import Refusal

SECRET = "hunter22"


class Change(Command[Kept], name="example.change"):
    password: Annotated[str, Secret()]
    old: Annotated[str, Secret()] | None = None
    nick: str | None = None


class Token(Reply):
    kind: str
    value: Annotated[str, Secret()]
    expires: Annotated[int, Secret()] | None = None


class LoggedIn(Reply, rename="camel"):
    the_tokens: list[Token]
    by_name: dict[str, Token | None]
    newest: Token | None = None
    user: str = "ann"


class LogIn(Command[LoggedIn], name="example.log_in"):
    """No secret in the request, but some in the reply."""

    user: str


class Happened(Event, name="example.happened"):
    version: int


class Weak(Refusal, code="example.weak", status=422):
    """The password is easily guessed.

    More is not for callers.
    """


PLAIN = [Keep(word="lamp"), Happened(version=1)]
WITH_SECRETS = [KeepSecret(word="lamp", password=SECRET), Change(password=SECRET), LogIn(user="ann")]


def _failing() -> None:
    try:
        raise KeyError(SECRET)
    except KeyError as error:
        failure = ValueError(SECRET)
        failure.add_note(SECRET)
        raise failure from error


@pytest.fixture
def error() -> Iterator[Exception]:
    """An error with a cause and a context, each of which repeats the secret."""
    try:
        try:
            _failing()
        finally:
            raise RuntimeError(SECRET)
    except RuntimeError as caught:
        yield caught


@pytest.mark.parametrize("request_", PLAIN)
def test_without_secrets_in_its_operation_a_text_stays_as_it_is(error: Exception, request_: Keep) -> None:
    refusal = Weak("Not lamp.", [FieldError("/word", "Not this one.", "odd")])
    assert error_text(error, type(request_)) == SECRET
    assert f"ValueError: {SECRET}" in error_traceback(error, type(request_))
    assert refusal_problem(refusal, request_) is refusal.problem


@pytest.mark.parametrize("request_", WITH_SECRETS)
def test_with_secrets_in_its_operation_no_text_of_an_error_is_kept(error: Exception, request_: Keep) -> None:
    trace = error_traceback(error, type(request_))
    assert error_text(error, type(request_)) == TEXT_DROPPED
    assert SECRET not in trace
    assert re.findall(r"^\w+$", trace, re.MULTILINE) == ["KeyError", "ValueError", "RuntimeError"]
    assert trace.count("Traceback (most recent call last):\n") == 3
    assert f'File "{__file__}"' in trace
    assert "in _failing\n    raise failure from error\n" in trace


def test_causes_are_followed_as_python_follows_them() -> None:
    first, second = KeyError(), ValueError()
    first.__cause__, second.__context__ = second, first  # a circle
    assert error_traceback(first, Change).count("Traceback") == 2
    second.__suppress_context__ = True
    assert error_traceback(second, Change).count("Traceback") == 1


@pytest.mark.parametrize("request_", WITH_SECRETS)
def test_with_secrets_in_its_operation_a_refusal_says_what_its_class_says(request_: Keep) -> None:
    problem = refusal_problem(Weak(f"Not {SECRET}."), request_)
    assert problem == Weak().problem
    assert problem.detail == "The password is easily guessed."


def test_errors_of_fields_keep_the_name_of_the_field_alone() -> None:
    pointers = ["/password", f"/password/{SECRET}", f"/{SECRET}", "", "/nick/0"]
    refusal = Weak(errors=[FieldError(pointer, f"Not {SECRET}.", f"not-{SECRET}") for pointer in pointers])
    problem = refusal_problem(refusal, Change(password=SECRET))
    assert problem.errors == tuple(
        FieldError(pointer, "The password is easily guessed.", "example.weak") for pointer in ("/password", "/nick")
    )


def test_secret_fields_are_replaced_and_no_others() -> None:
    kept = json.loads(encode_without_secrets(Change(password=SECRET, old="hunter11", nick="ann")))
    assert kept == {"password": "[secret]", "old": "[secret]", "nick": "ann"}
    assert json.loads(encode_without_secrets(Change(password=SECRET)))["old"] is None


def test_secrets_are_replaced_in_replies_however_deep_they_are() -> None:
    token = Token(kind="access", value=SECRET, expires=17)
    reply = LoggedIn(the_tokens=[token], by_name={"a": token, "b": None}, newest=token)
    cut = {"kind": "access", "value": "[secret]", "expires": "[secret]"}
    assert json.loads(encode_without_secrets(reply)) == {
        "theTokens": [cut],
        "byName": {"a": cut, "b": None},
        "newest": cut,
        "user": "ann",
    }
    assert token.value == SECRET  # only a copy is redacted
