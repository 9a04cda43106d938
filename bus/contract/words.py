"""Types in words: what a field takes, for people who know JSON and no programming language."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import inspect

from bus.contract.fields import Rule, RuleInWords

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


# The kinds of JSON values (RFC 8259, section 3), as text, number, true or false, null, list, object.
_KINDS: dict[type[inspect.Type], str] = {
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "number",
    inspect.FloatType: "number",
    inspect.DecimalType: "number",
    inspect.DictType: "object",
    inspect.StructType: "object",
}
_ALL_KINDS = frozenset({"null", "boolean", "number", "text", "list", "object"})


def kind_of(value: Any) -> str:
    """The kind of a JSON value as `codec.parse` returns it."""
    names = {type(None): "null", bool: "boolean", str: "text", list: "list", dict: "object"}
    return names.get(type(value), "number")


def kinds_of(info: inspect.Type) -> frozenset[str]:
    """The kinds of JSON values that a type takes."""
    if isinstance(info, inspect.Metadata):
        return kinds_of(info.type)
    if isinstance(info, inspect.UnionType):
        return frozenset().union(*map(kinds_of, info.types))
    if isinstance(info, inspect.LiteralType | inspect.EnumType):
        return frozenset(map(kind_of, _values_of(info)))
    if isinstance(info, inspect.CollectionType):
        return frozenset({"list"})
    if isinstance(info, inspect.AnyType | inspect.RawType):
        return _ALL_KINDS
    return frozenset({_KINDS.get(type(info), "text")})


def in_words(info: inspect.Type, rules: Iterable[Rule] = ()) -> str:
    """The type and bounds of a field, and its rules: `text, 1 to 200 characters`."""
    return ", ".join([_kind(info), *map(_rule, rules)])


def _kind(info: inspect.Type) -> str:
    if isinstance(info, inspect.Metadata):
        if (words := (info.extra or {}).get("in_words")) and isinstance(info.type, inspect.StrType):
            return f"{_kind(msgspec.structs.replace(info.type, pattern=None))}, {words}"
        return _kind(info.type)
    if isinstance(info, inspect.UnionType):
        return " or ".join(dict.fromkeys(_kind(each) for each in info.types))
    if isinstance(info, inspect.CollectionType):
        return f"list of {_kind(info.item_type)}{_range(info.min_length, info.max_length, ' entries')}"
    if isinstance(info, inspect.LiteralType | inspect.EnumType):
        return _one_of(info)
    return f"{_WORDS.get(type(info), 'value')}{_bounds(info)}"


def _one_of(info: inspect.LiteralType | inspect.EnumType) -> str:
    return " or ".join(msgspec.json.encode(value).decode() for value in _values_of(info))


def _values_of(info: inspect.LiteralType | inspect.EnumType) -> list[Any]:
    return list(info.values) if isinstance(info, inspect.LiteralType) else [each.value for each in info.cls]


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
    """What the rule says of itself, or else the name of its class, in words."""
    if isinstance(rule, RuleInWords):
        return rule.in_words()
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type(rule).__name__).lower()
