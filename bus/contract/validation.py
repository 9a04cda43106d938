"""Validation: turns the bytes of a body into a request of the contract, or into a list of all its faults."""

import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

import msgspec

from bus.contract.codec import parse, prepare
from bus.contract.fields import FieldRules, RuleViolation, rules_of
from bus.contract.operations import Operation
from bus.contract.problems import FieldError, Invalid

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
    try:
        request: T = msgspec.convert(fields, operation)
    except _NOT_CONVERTIBLE:
        request = _converted(fields, operation)
    faults = [fault for field in rules_of(operation) for fault in _broken_rules(field, fields.get(field.name))]
    faults += _bad_text(fields)
    if not faults and operation.violations is not Operation.violations:
        faults += request.violations()
    if faults:
        raise _not_acceptable(faults)
    return request


def are_fields_of(fields: dict[str, Any], operation: type[Operation[Any]]) -> bool:
    """Whether each of these is a field of the operation and has its type. Other fields may be missing."""
    declared = _fields_of(operation)
    return all(name in declared and not _type_fault(name, fields[name], declared[name].type) for name in fields)


def decode_event(body: bytes, event: type[E]) -> E:
    """Read an event and ignore unknown fields. Raises Invalid (400 or 422)."""
    prepare(event)
    try:
        return msgspec.convert(parse(body), event)
    except msgspec.ValidationError as error:
        raise Invalid("wrong-type", 422, "Not acceptable", str(error)) from None
    except UnicodeEncodeError:  # a lone surrogate in a key
        raise Invalid("invalid-text", 422, "Not acceptable", "A key contains a lone surrogate.") from None


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


def _broken_rules(field: FieldRules, value: Any) -> Iterator[FieldError]:
    try:
        for rule in field.rules if value is not None else ():
            rule.check(value)
    except RuleViolation as error:
        yield FieldError(f"/{field.name}", error.detail, error.code)


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


def _all_faults(fields: dict[str, Any], operation: type[Operation[Any]]) -> Iterator[FieldError]:
    """Every fault. Slow, and only for bodies that have one, because msgspec stops at the first."""
    declared = _fields_of(operation)
    rules = {field.name: field for field in rules_of(operation)}
    for name, field in declared.items():
        if name not in fields:
            if field.required:
                yield FieldError(f"/{name}", "This field is required.", "missing-field")
        elif bad := list(_bad_text(fields[name], f"/{name}")):
            yield from bad
        elif fault := _type_fault(name, fields[name], field.type):
            yield fault
        elif name in rules:
            yield from _broken_rules(rules[name], fields[name])
    for name in sorted(fields.keys() - declared.keys()):
        yield FieldError(f"/{_pointer(name)}", "This field is unknown.", "unknown-field")


def _type_fault(name: str, value: Any, expected: Any) -> FieldError | None:
    try:
        msgspec.convert(_with_whole_numbers(value), expected)
    except msgspec.ValidationError as error:
        # out-of-range: a number that is too large or must not have a fraction. wrong-type: "12", "cheap" or true for a
        # number. msgspec's text has "got" for a wrong type, and also for a fraction.
        fraction = type(value) is Decimal and "Expected `int`" in str(error)
        other_type = ", got `" in str(error) or str(error) == "Invalid decimal string"
        code = "wrong-type" if other_type and not fraction else "out-of-range"
        return FieldError(f"/{name}", f"{error}.", code)
    return None


@cache
def _fields_of(operation: type[Operation[Any]]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(operation)}


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
    return Invalid(faults[0].code, 422, "Not acceptable", faults[0].detail, faults)
