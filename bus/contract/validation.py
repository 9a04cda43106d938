"""Validation: turns the bytes of a body into a request of the contract, or into a list of all its faults."""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from bus.contract.codec import parse, prepare
from bus.contract.exits import no_exits
from bus.contract.fields import FieldRules, Rule, RuleViolation, multi_line_fields_of, rules_of, structs_in
from bus.contract.one_of import OneOf, must_have_one
from bus.contract.operations import Operation
from bus.contract.problems import INVALID_TITLE, FieldError, Invalid
from bus.contract.words import in_words, kind_of, kinds_of

_DECIMAL_COMMA = re.compile(r"[0-9]{1,20},[0-9]{1,20}")

_NO_LINES = dict.fromkeys(map(ord, "\n\r\t"))

T = TypeVar("T", bound=Operation[Any])
E = TypeVar("E", bound=msgspec.Struct)

# msgspec raises UnicodeEncodeError for a lone surrogate in a key.
_NOT_CONVERTIBLE = (msgspec.ValidationError, UnicodeEncodeError)

# So that a body with thousands of wrong fields does not get an answer of megabytes.
MAX_FAULTS = 50

# C0 and C1 control characters and lone surrogates. Text columns cannot hold NUL, drivers and password hashes fail on
# surrogates, and terminals obey the other control characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def decode(body: bytes, operation: type[T]) -> T:
    """Read and validate a request.

    Raises:
        Invalid: 400 when the body cannot be parsed or a required field is missing, 422 when a value is not
            acceptable. `problem.errors` lists every field at fault, at most MAX_FAULTS.
    """
    return accept(parse(body), operation)


def accept(fields: dict[str, Any], operation: type[T]) -> T:
    """Validate parsed fields against the contract. Raises Invalid (400 or 422), as `decode` does."""
    prepare(operation)
    with no_exits():  # a contract has code of its own
        try:
            request: T = msgspec.convert(fields, operation)
        except _NOT_CONVERTIBLE:
            request = _converted(fields, operation)
        faults = [fault for field in rules_of(operation) for fault in _broken_rules(field, fields.get(field.name))]
        for name, hint in _with_rules_inside(operation):
            faults += _rules_broken_inside(fields.get(name), hint, f"/{_pointer(name)}")
        faults += _text_faults(fields, operation)
        if not faults and operation.violations is not Operation.violations:
            faults += request.violations()
    if faults:
        raise _not_acceptable(faults)
    return request


def are_fields_of(fields: dict[str, Any], operation: type[Operation[Any]]) -> bool:
    """Whether each of these is a field of the operation and has its type. Other fields may be missing."""
    declared = _fields_of(operation)
    return all(name in declared and not any(_type_faults(fields[name], declared[name].type, "")) for name in fields)


def decode_event(body: bytes, event: type[E]) -> E:
    """Read an event and ignore unknown fields. Raises Invalid (400 or 422)."""
    prepare(event)
    fields = parse(body)
    with no_exits(), suppress(*_NOT_CONVERTIBLE):
        return msgspec.convert(fields, event)
    faults = list(_all_faults(fields, event))
    raise _not_acceptable(faults or [FieldError("", "A key contains a lone surrogate.", "invalid-text")])


def _converted(fields: dict[str, Any], operation: type[T]) -> T:
    """The same with numbers such as 3.0 for whole ones. Raises Invalid with every fault."""
    with suppress(*_NOT_CONVERTIBLE):
        request: T = msgspec.convert(_with_whole_numbers(fields), operation)
        return request
    raise _not_acceptable(list(_all_faults(fields, operation)))


def _with_whole_numbers(value: Any) -> Any:
    """The same value with 3 for 3.0, which is a whole number too (JSON Schema Core 2020-12, section 4.2.1)."""
    if type(value) is Decimal and value == value.to_integral_value():
        return int(value)
    if type(value) is dict:
        return {name: _with_whole_numbers(inner) for name, inner in value.items()}
    if type(value) is list:
        return [_with_whole_numbers(inner) for inner in value]
    return value


def _broken_rules(field: FieldRules, value: Any, pointer: str = "") -> Iterator[FieldError]:
    try:
        for rule in field.rules if value is not None else ():
            rule.check(value)
    except RuleViolation as error:
        yield FieldError(f"{pointer}/{field.name}", error.detail, error.code)


@cache
def _with_rules_inside(declared: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a class, and their types, that have classes with rules inside. Most classes have none."""
    fields = _fields_of(declared).items()
    return tuple((name, field.type) for name, field in fields if any(map(rules_of, structs_in(field.type))))


def _rules_broken_inside(value: Any, hint: Any, pointer: str) -> Iterator[FieldError]:
    """The rules of classes inside a value of this type that it breaks."""
    bare = _bare(hint)
    if type(value) is list and get_origin(bare) in (list, set, frozenset):
        for index, inner in enumerate(value):
            yield from _rules_broken_inside(inner, get_args(bare)[0], f"{pointer}/{index}")
    elif type(value) is dict and get_origin(bare) is dict:
        for name, inner in value.items():
            yield from _rules_broken_inside(inner, get_args(bare)[1], f"{pointer}/{_pointer(name)}")
    elif type(value) is dict and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        for field in rules_of(bare):
            yield from _broken_rules(field, value.get(field.name), pointer)
        for name, inner_hint in _with_rules_inside(bare):
            yield from _rules_broken_inside(value.get(name), inner_hint, f"{pointer}/{_pointer(name)}")


def _text_faults(value: Any, hint: Any, pointer: str = "") -> list[FieldError]:
    """Characters that no text may have, or none but a `MultiLine` one. Only for a text with such is the hint read."""
    faults = list(_bad_text(value, pointer))
    return list(_bad_text(_without_lines(value, hint), pointer)) if faults else []


def _without_lines(value: Any, hint: Any) -> Any:
    """The same value, but without the line breaks and tabs of fields that may have them."""
    bare = _bare(hint)
    if type(value) is list and get_origin(bare) in (list, set, frozenset):
        return [_without_lines(inner, get_args(bare)[0]) for inner in value]
    if type(value) is dict and get_origin(bare) is dict:
        return {name: _without_lines(inner, get_args(bare)[1]) for name, inner in value.items()}
    if type(value) is dict and isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        known, multi_line = _fields_of(bare), multi_line_fields_of(bare)
        return {
            name: inner.translate(_NO_LINES)
            if name in multi_line and type(inner) is str
            else _without_lines(inner, known[name].type if name in known else None)
            for name, inner in value.items()
        }
    return value


def _bad_text(value: Any, pointer: str = "") -> Iterator[FieldError]:
    if type(value) is str:
        if _CONTROL.search(value):
            yield FieldError(pointer, "Control characters and lone surrogates are not allowed.", "invalid-text")
    elif type(value) is dict:
        for name, inner in value.items():
            # Almost always true, and fast. What is not printable may still be a letter or a space that is allowed.
            is_fine = inner.isprintable() if type(inner) is str else type(inner) not in (dict, list)
            if not (is_fine and name.isprintable()):
                yield from _bad_text(name, f"{pointer}/{_pointer(name)}")
                yield from _bad_text(inner, f"{pointer}/{_pointer(name)}")
    elif type(value) is list:
        for index, inner in enumerate(value):
            yield from _bad_text(inner, f"{pointer}/{index}")


def _all_faults(fields: dict[str, Any], declared: type[msgspec.Struct], pointer: str = "") -> Iterator[FieldError]:
    """Every fault. Slow, and only for bodies that have one, because msgspec stops at the first."""
    known = _fields_of(declared)
    rules = {field.name: field.rules for field in rules_of(declared)}
    for name, field in known.items():
        place = f"{pointer}/{_pointer(name)}"
        if name not in fields:
            if field.required:
                yield FieldError(place, "This field is required.", "missing-field")
        elif bad := _text_faults({name: fields[name]}, declared, pointer):
            yield from bad
        elif faults := list(_type_faults(fields[name], field.type, place, rules.get(name, ()))):
            yield from faults
        elif name in rules:
            yield from _broken_rules(FieldRules(name, rules[name]), fields[name], pointer)
    if declared.__struct_config__.forbid_unknown_fields:
        for name in sorted(fields.keys() - known.keys()):
            yield FieldError(f"{pointer}/{_pointer(name)}", "This field is unknown.", "unknown-field")
    if issubclass(declared, OneOf) and len(fields.keys() & known.keys()) != 1:
        yield FieldError(pointer, must_have_one(declared), "one-of")


def _type_faults(value: Any, hint: Any, pointer: str, rules: tuple[Rule, ...] = ()) -> Iterator[FieldError]:
    """What is wrong with a value of this type, each fault where it is; nothing where only a rule may be broken."""
    with suppress(*_NOT_CONVERTIBLE):
        msgspec.convert(_with_whole_numbers(value), hint)
        yield from _rules_broken_inside(value, hint, pointer)
        return
    if inner := list(_inner_faults(value, _bare(hint), pointer)):
        yield from inner
        return
    info = inspect.type_info(hint)
    code = "out-of-range" if kind_of(value) in kinds_of(info) else "wrong-type"
    if type(value) is str and "number" in kinds_of(info) and _DECIMAL_COMMA.fullmatch(value):
        yield FieldError(pointer, "A number has a point and no quotes, as in 9.90, and no comma.", code)
        return
    yield FieldError(pointer, f"Expected {in_words(info, rules)}.", code)


def _inner_faults(value: Any, hint: Any, pointer: str) -> Iterator[FieldError]:
    """The faults of the values inside a list or an object."""
    if type(value) is list and get_origin(hint) in (list, set, frozenset):
        for index, inner in enumerate(value):
            yield from _type_faults(inner, get_args(hint)[0], f"{pointer}/{index}")
    elif type(value) is dict and get_origin(hint) is dict:
        for name, inner in value.items():
            yield from _type_faults(inner, get_args(hint)[1], f"{pointer}/{_pointer(name)}")
    elif type(value) is dict and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from _all_faults(value, hint, pointer)


def _bare(hint: Any) -> Any:
    """A type hint without its annotations; of `X | None` or `X | UnsetType`, X."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        left = [each for each in get_args(hint) if each not in (type(None), msgspec.UnsetType)]
        return _bare(left[0]) if len(left) == 1 else hint
    return hint


@cache
def _fields_of(declared: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(declared)}


def _pointer(name: str) -> str:
    """A key of the body as a JSON pointer token (RFC 6901, section 3), without characters that an encoder refuses."""
    token = _CONTROL.sub("\ufffd", name[:64])
    return token.replace("~", "~0").replace("/", "~1")


def _not_acceptable(faults: list[FieldError]) -> Invalid:
    faults = faults[:MAX_FAULTS]
    missing = [fault.pointer[1:] for fault in faults if fault.code == "missing-field"]
    if missing:
        detail = f"Missing: {', '.join(missing)}."
        return Invalid("missing-field", 400, "Missing required fields", detail, faults)
    return Invalid(faults[0].code, 422, INVALID_TITLE, faults[0].detail, faults)
