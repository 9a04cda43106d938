"""Secrecy: what is secret in a request is cut out of texts that others wrote, such as errors and stack traces.

By value: the fields marked `Secret` are known, but not what a handler, a driver or a database made of them.
"""

import json
import re
import traceback
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import structs

from bus.contract.codec import CUT
from bus.contract.fields import secrets_of
from bus.contract.problems import Problem

# Texts are quoted in texts: an error's repr holds the repr of a value.
_NESTED_QUOTES = 2
_BOTH_QUOTES = "'\""


def cut(text: str, request: msgspec.Struct) -> str:
    """The text with every secret value of the request replaced, as it is or as reprs, JSON and SQL write it.

    A value that somebody encoded, split or shortened is not found.
    """
    secrets = secrets_of(type(request))
    if not secrets:
        return text
    forms = {form for name in secrets for value in _texts_in(getattr(request, name)) for form in _forms_of(value)}
    # The longest first: a form may stand inside another.
    pattern = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
    return re.sub(pattern, CUT, text) if pattern else text


def cut_trace(error: BaseException, request: msgspec.Struct) -> str:
    """The stack trace of an error and its causes, cut. It shows lines of code, never local variables."""
    return cut("".join(traceback.format_exception(error)), request)


def cut_problem(problem: Problem, request: msgspec.Struct) -> Problem:
    """The problem with its details cut: they are the handler's words."""
    if not secrets_of(type(request)):
        return problem
    errors = tuple(structs.replace(error, detail=cut(error.detail, request)) for error in problem.errors)
    return structs.replace(problem, detail=cut(problem.detail, request), errors=errors)


def _texts_in(value: Any) -> Iterator[str]:
    """Every text and number inside a value; yes, no and nothing tell no secret."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, msgspec.Struct):
        yield from _texts_in(list(structs.asdict(value).values()))
    elif isinstance(value, dict):
        yield from _texts_in([*value.keys(), *value.values()])
    elif isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from _texts_in(inner)
    elif value is not None and value is not msgspec.UNSET and not isinstance(value, bool):
        yield str(value)


def _forms_of(value: str) -> set[str]:
    """The ways in which a text is written inside other texts."""
    forms = {value} - {""}
    for _ in range(_NESTED_QUOTES):
        forms |= {form for text in forms for form in _quoted(text)}
    return forms


def _quoted(text: str) -> Iterator[str]:
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield text.replace("'", "''")  # in SQL
    # Python escapes a single quote only where the text has double quotes too, so we put both before it.
    for escaped in (repr(_BOTH_QUOTES + text)[4:-1], ascii(_BOTH_QUOTES + text)[4:-1], _as_bytes(text)):
        yield escaped
        yield escaped.replace(r"\'", "'")


def _as_bytes(text: str) -> str:
    return repr((_BOTH_QUOTES + text).encode("utf-8", "backslashreplace"))[5:-1]
