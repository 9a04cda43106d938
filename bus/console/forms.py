"""Forms: what a person fills in to make a request, made of the contract, and the request that comes of it.

Each field is one control. What is left empty is left out, unless the form says otherwise: a text may be meant to be
empty, and a field to be null. No input, no output.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import msgspec
from msgspec import inspect

from bus.contract.codec import encode, parse_value
from bus.contract.fields import multi_line_fields_of, secrets_of, structs_in
from bus.contract.operations import Operation
from bus.contract.problems import INVALID_TITLE, FieldError, Invalid
from bus.contract.text_fields import from_text
from bus.contract.validation import accept
from bus.http.pages.field_words import FieldInWords, fields_in_words

# How a field is entered: a line of text or a number, lines of text, one of several values, or as JSON.
Control = Literal["line", "number", "lines", "choice", "json"]
# What an empty control means, and how a form names it.
LEFT_OUT, NULL, EMPTY = "leave it out", "send null", "send an empty text"
# The prefixes of the names of the controls of a form, before the name of the field.
VALUE, IF_EMPTY = "field.", "empty."

_TEXTS = (
    inspect.StrType,
    inspect.DateTimeType,
    inspect.DateType,
    inspect.TimeType,
    inspect.TimeDeltaType,
    inspect.UUIDType,
    inspect.BytesType,
)
_NUMBERS = (inspect.IntType, inspect.FloatType, inspect.DecimalType)


@dataclass(frozen=True)
class FormField:
    """A field of a request. `words` are its type and bounds, `choices` the values of a choice as JSON.

    `if_empty` is what an empty control may mean, the usual first. `default` is JSON, and empty without one.
    """

    name: str
    control: Control
    words: str
    is_required: bool
    is_secret: bool
    choices: tuple[str, ...]
    if_empty: tuple[str, ...]
    default: str


@cache
def form_of(operation: type[Operation[Any]]) -> tuple[FormField, ...]:
    """The fields of an operation's form, in the order of their declaration."""
    words = {each.name: each for each in fields_in_words(operation)}
    return tuple(_field(operation, field, words[field.encode_name]) for field in msgspec.structs.fields(operation))


def request_of(operation: type[Operation[Any]], form: Mapping[str, str]) -> bytes:
    """The body of the request that a form stands for. Raises Invalid (400 or 422), with the fields at fault."""
    given: dict[str, Any] = {}
    texts: dict[str, str] = {}
    faults = []
    for field in form_of(operation):
        text = form.get(f"{VALUE}{field.name}", "")
        if not text:
            given |= _empty(field, form.get(f"{IF_EMPTY}{field.name}", ""))
        elif field.control in ("json", "choice"):
            try:
                given[field.name] = parse_value(text.encode("utf-8", "replace"))
            except Invalid as invalid:
                faults.append(FieldError(f"/{field.name}", f"This is not JSON. {invalid}", "malformed-json"))
        else:
            # A browser sends line breaks as CR LF (HTML, "Constructing the entry list").
            texts[field.name] = text.replace("\r\n", "\n") if field.control == "lines" else text
    if faults:
        raise Invalid("malformed-json", 422, INVALID_TITLE, faults[0].detail, faults)
    return encode(accept(given | from_text(texts, operation), operation))


def filled(operation: type[Operation[Any]], fields: Mapping[str, Any]) -> dict[str, str]:
    """The form that stands for a request with these fields, as `parse` returns them."""
    form: dict[str, str] = {}
    for field in form_of(operation):
        if field.name not in fields:
            continue
        value = fields[field.name]
        if value is None and NULL in field.if_empty:
            form[f"{IF_EMPTY}{field.name}"] = NULL
        elif value == "" and EMPTY in field.if_empty:
            form[f"{IF_EMPTY}{field.name}"] = EMPTY
        elif field.control in ("line", "lines") and isinstance(value, str):
            form[f"{VALUE}{field.name}"] = value
        else:
            form[f"{VALUE}{field.name}"] = encode(value).decode()
    return form


def _field(operation: type[Operation[Any]], field: msgspec.structs.FieldInfo, words: FieldInWords) -> FormField:
    kinds = _kinds(inspect.type_info(field.type))
    plain = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    choices = _choices(plain)
    meanings = {
        LEFT_OUT: not field.required,
        NULL: len(plain) < len(kinds),
        EMPTY: len(plain) == 1 and _may_be_empty(plain[0]),
    }
    if_empty = tuple(meaning for meaning, is_possible in meanings.items() if is_possible)
    return FormField(
        name=words.name,
        control=_control(plain, choices, is_multi_line=words.name in multi_line_fields_of(operation)),
        words=words.kind,
        is_required=not if_empty,
        is_secret=words.is_secret or any(map(secrets_of, structs_in(field.type))),
        choices=choices,
        if_empty=if_empty,
        default=words.default,
    )


def _kinds(info: inspect.Type) -> list[inspect.Type]:
    """The types that a field may have, without what is said of them."""
    if isinstance(info, inspect.Metadata):
        return _kinds(info.type)
    if isinstance(info, inspect.UnionType):
        return [kind for each in info.types for kind in _kinds(each)]
    return [info]


def _may_be_empty(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.StrType) and not kind.min_length and bool(re.search(kind.pattern or "", ""))


def _choices(kinds: list[inspect.Type]) -> tuple[str, ...]:
    if len(kinds) != 1:
        return ()
    (kind,) = kinds
    if isinstance(kind, inspect.BoolType):
        return ("true", "false")
    if isinstance(kind, inspect.LiteralType):
        return tuple(encode(value).decode() for value in kind.values)
    return tuple(encode(each.value).decode() for each in kind.cls) if isinstance(kind, inspect.EnumType) else ()


def _control(kinds: list[inspect.Type], choices: tuple[str, ...], *, is_multi_line: bool) -> Control:
    if choices:
        return "choice"
    if len(kinds) == 1 and isinstance(kinds[0], _NUMBERS):
        return "number"
    if kinds and all(isinstance(kind, _TEXTS) for kind in kinds):
        return "lines" if is_multi_line else "line"
    return "json"


def _empty(field: FormField, meaning: str) -> dict[str, Any]:
    """What an empty control stands for: nothing, or the field with the value that the form asks for."""
    if not field.if_empty:
        return {}
    chosen = meaning if meaning in field.if_empty else field.if_empty[0]
    return {} if chosen == LEFT_OUT else {field.name: None if chosen == NULL else ""}
