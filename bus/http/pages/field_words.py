"""Fields in words: the types and bounds of the fields of a request, reply or event, for people to read."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.codec import encode_fields
from bus.contract.fields import DecimalRange, Rule, rules_of, secrets_of

# How deep fields inside fields are listed. A type may contain itself.
MAX_DEPTH = 4

_WORDS: dict[type[inspect.Type], str] = {
    inspect.AnyType: "any JSON",
    inspect.RawType: "any JSON",
    inspect.NoneType: "null",
    inspect.BoolType: "true or false",
    inspect.IntType: "whole number",
    inspect.FloatType: "number",
    inspect.DecimalType: "number",
    inspect.StrType: "text",
    inspect.BytesType: "text, in Base64",
    inspect.DateTimeType: "text, a date and time (RFC 3339)",
    inspect.DateType: "text, a date (RFC 3339)",
    inspect.TimeType: "text, a time of day (RFC 3339)",
    inspect.TimeDeltaType: "text, a duration (ISO 8601)",
    inspect.UUIDType: "text, a UUID",
    inspect.DictType: "object",
    inspect.StructType: "object",
}


@dataclass(frozen=True)
class FieldInWords:
    """A field. The name of a field inside another one is a path: `product.id`, `products[].id`.

    `default` is JSON, and empty without a default. A sender may leave out a field unless `is_required`; replies and
    events of a service lack a field only if `may_be_absent`.
    """

    name: str
    kind: str
    is_required: bool
    default: str = ""
    is_secret: bool = False
    may_be_absent: bool = False


def fields_in_words(declared: type[msgspec.Struct]) -> tuple[FieldInWords, ...]:
    """All fields of a class, and the fields inside them, in the order of their declaration."""
    return tuple(_fields(declared, "", 0))


def _fields(declared: type[msgspec.Struct], prefix: str, depth: int) -> Iterator[FieldInWords]:
    rules = {field.name: field.rules for field in rules_of(declared)}
    for field in msgspec.structs.fields(declared):
        info, name = inspect.type_info(field.type), f"{prefix}{field.encode_name}"
        kind = ", ".join([_kind(info), *map(_rule, rules.get(field.name, ()))])
        secret, absent = field.name in secrets_of(declared), field.default is msgspec.UNSET
        yield FieldInWords(name, kind, field.required, _default(field), secret, absent)
        if depth < MAX_DEPTH:
            for inner, suffix in _inside(info):
                yield from _fields(inner, f"{name}{suffix}.", depth + 1)


def _inside(info: inspect.Type) -> Iterator[tuple[type[msgspec.Struct], str]]:
    if isinstance(info, inspect.StructType):
        yield info.cls, ""
    elif isinstance(info, inspect.Metadata):
        yield from _inside(info.type)
    elif isinstance(info, inspect.UnionType):
        for each in info.types:
            yield from _inside(each)
    elif isinstance(info, inspect.CollectionType):
        for inner, suffix in _inside(info.item_type):
            yield inner, f"[]{suffix}"


def _default(field: msgspec.structs.FieldInfo) -> str:
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return "" if default in (msgspec.NODEFAULT, msgspec.UNSET) else encode_fields({"": default})[4:-1].decode()


def _kind(info: inspect.Type) -> str:
    if isinstance(info, inspect.Metadata):
        return _kind(info.type)
    if isinstance(info, inspect.UnionType):
        return " or ".join(_kind(each) for each in info.types)
    if isinstance(info, inspect.CollectionType):
        return f"list of {_kind(info.item_type)}{_range(info.min_length, info.max_length, ' entries')}"
    if isinstance(info, inspect.LiteralType | inspect.EnumType):
        return _one_of(info)
    return f"{_WORDS.get(type(info), 'value')}{_bounds(info)}"


def _one_of(info: inspect.LiteralType | inspect.EnumType) -> str:
    values = info.values if isinstance(info, inspect.LiteralType) else [each.value for each in info.cls]
    return " or ".join(msgspec.json.encode(value).decode() for value in values)


def _bounds(info: inspect.Type) -> str:
    if isinstance(info, inspect.StrType):
        pattern = f", of the pattern {info.pattern}" if info.pattern else ""
        return f"{_range(info.min_length, info.max_length, ' characters')}{pattern}"
    if isinstance(info, inspect.IntType | inspect.FloatType):
        exclusive = [f", more than {info.gt}"] if info.gt is not None else []
        exclusive += [f", less than {info.lt}"] if info.lt is not None else []
        step = f", a multiple of {info.multiple_of}" if info.multiple_of is not None else ""
        return f"{_range(info.ge, info.le)}{''.join(exclusive)}{step}"
    return ""


def _range(least: Any, most: Any, unit: str = "") -> str:
    if least is None and most is None:
        return ""
    if most is None:
        return f", at least {least}{unit}"
    return f", at most {most}{unit}" if least is None else f", {least} to {most}{unit}"


def _rule(rule: Rule) -> str:
    """The bounds of a DecimalRange; of another rule the name of its class, in words."""
    if isinstance(rule, DecimalRange):
        return f"{rule.ge} to {rule.le}, at most {rule.places} digits after the decimal point"
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(rule).__name__).lower()
